"""Defaults that operators and sensors share."""

# Folder of the bucket that holds the snapshots of all instances, each in a folder of its own.
DEFAULT_FOLDER = "oac-snapshots"
