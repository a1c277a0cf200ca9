"""Run universes, or replay one.

python -m tests.universes                                  10,000 seeds for each operator (`make universes`)
python -m tests.universes --minutes 2.5                    what fits, spread evenly
python -m tests.universes OACRestoreOperator --seed 17     one universe, with its story
"""

from __future__ import annotations

import sys

import tests.conftest  # noqa: F401 (sets the environment before anything imports Airflow)
from tests.universes.runner import main

if __name__ == "__main__":
    sys.exit(main())
