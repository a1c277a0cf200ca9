"""Flows that take several calls: submit, poll, search, export, restore, prune, compare."""
