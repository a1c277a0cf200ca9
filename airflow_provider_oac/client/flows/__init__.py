"""What takes several calls: submit, poll, search, export, restore, prune, compare."""
