"""Deterministic simulation: the real operators against the simulator, in one process and on a virtual clock.

A *universe* is one night of one or two tasks. Between any two awaits its seed may let something go wrong; when the
night is over, what came of it is judged. ``python -m tests.universes --help`` runs, shrinks and replays them.
"""
