"""Defaults that operators and sensors share."""

from datetime import timedelta

# Folder of the bucket that holds the snapshots of all instances, each in its own folder.
DEFAULT_FOLDER = "oac-snapshots"

# A trigger ends by itself at its deadline. If no triggerer runs it, Airflow ends the task this much later.
TRIGGER_GRACE = timedelta(minutes=5)
