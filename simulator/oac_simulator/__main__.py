"""The command `oac-simulator`, also available as `python -m oac_simulator`."""

from __future__ import annotations

import logging
import sys

from oac_simulator.options import parse
from oac_simulator.serve import serve
from oac_simulator.store import StateInUse


def main() -> int:
    """Run the command line and return the exit status."""
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
