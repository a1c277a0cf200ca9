"""`python -m airflow_provider_oac.simulator`."""

from __future__ import annotations

import logging
import sys

from airflow_provider_oac.simulator.options import parse
from airflow_provider_oac.simulator.serve import serve
from airflow_provider_oac.simulator.store import StateInUse


def main() -> int:
    """Run the command line; returns the exit status."""
    options = parse()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        serve(options)
    except (StateInUse, OSError) as error:
        print(f"The simulator cannot run: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
