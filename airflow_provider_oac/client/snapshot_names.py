"""Names of the snapshots that this provider creates and registers.

OAC keeps only the name and the path of a snapshot, so the name carries what later tasks need to know::

    <label>--<instance>--<UTC time>--<seal>--<mark>
    nightly--analytics-prod--20261123T203637Z--oac_seal_2026--3f9a5c1d77e0b2a4c6d8

The DAG author chooses the ``label``; ``instance`` names the OAC instance that the snapshot was taken of; ``seal`` is
the id of the Connection that holds its password; ``mark`` identifies the logical task that created it. The file is
``<folder>/<instance>/<name>.bar``: instances that share a bucket have separate folders, and no path is used twice.

A registered snapshot is an existing file that is made known to another instance. It must never be mistaken for a
created snapshot, because the names of created snapshots decide what pruning deletes::

    registered--<UTC time>--<name of the file, without .bar>
    registered--20261124T060000Z--nightly--analytics-dev--20261123T203637Z--oac_seal_2026--3f9a5c1d77e0b2a4c6d8

A created name has five parts between double hyphens. A registered name has three, or seven if the file has a created
name. It never has five, so neither form can be read as the other.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import NamedTuple

from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.plain_text import hidden

# No part begins with a dot: the instance becomes a folder, and "." and ".." would name other folders.
_PART = r"[A-Za-z0-9_][A-Za-z0-9._]*(?:-[A-Za-z0-9._]+)*"
# Kept as text: it is compiled when a name is first read, which parsing a DAG never does.
_NAME = (
    rf"(?P<label>{_PART})--(?P<instance>{_PART})--(?P<time>[0-9]{{8}}T[0-9]{{6}}Z)"
    rf"--(?P<seal>{_PART})--(?P<mark>[0-9a-f]{{20}})"
)
_REGISTERED = r"registered--(?P<time>[0-9]{8}T[0-9]{6}Z)--(?P<stem>.+)"
_LONE_PART = r"[A-Za-z0-9_.]+(?:-[A-Za-z0-9_.]+)*"
_LONGEST_FOREIGN = 80
_RUN_DIGITS = 8
_TASK_DIGITS = 12


class SnapshotName(NamedTuple):
    """The name of a created snapshot, in its parts.

    :param label: the DAG author's name for this series of snapshots.
    :param instance: name of the instance.
    :param time: when the task requested the snapshot; UTC, whole seconds.
    :param seal: id of the Connection with its password.
    :param mark: mark of the logical task; see :func:`task_mark`.
    """

    label: str
    instance: str
    time: datetime
    seal: str
    mark: str

    def __str__(self) -> str:
        return f"{self.label}--{self.instance}--{_written(self.time)}--{self.seal}--{self.mark}"

    def uri(self, folder: str) -> str:
        """Return the path of the snapshot's file in the bucket, as OAC expects it.

        :param folder: folder that all instances share; may be empty.
        """
        return f"{instance_prefix(folder, self.instance)}{self}.bar"


def instance_prefix(folder: str, instance: str) -> str:
    """Return the common beginning of the paths of one instance's files."""
    return f"file:///{folder}/{instance}/" if folder else f"file:///{instance}/"


def parse(name: str) -> SnapshotName | None:
    """Parse the name of a created snapshot; return ``None`` if it does not have exactly this form."""
    found = re.fullmatch(_NAME, name)
    time = _read(found["time"]) if found else None
    return (
        SnapshotName(found["label"], found["instance"], time, found["seal"], found["mark"]) if found and time else None
    )


class RegisteredName(NamedTuple):
    """The name of a registered snapshot, in its parts.

    :param time: when it was registered; UTC, whole seconds.
    :param stem: name of the file without ``.bar``; unless it is a created name, unsafe characters are replaced.
    """

    time: datetime
    stem: str

    @property
    def origin(self) -> SnapshotName | None:
        """The name under which this provider created the file; ``None`` if it did not."""
        return parse(self.stem)

    def __str__(self) -> str:
        return f"registered--{_written(self.time)}--{self.stem}"


def registered_name(bar_uri: str, now: float) -> RegisteredName:
    """Make the name for a file that is registered now.

    :param bar_uri: ``file:///folder/name.bar``.
    :param now: wall-clock time in seconds since the epoch.
    """
    stem = bar_uri.rpartition("/")[2].removesuffix(".bar")
    if parse(stem) is None:
        # Hyphens are replaced too: a double hyphen would add a part.
        stem = re.sub(r"[^A-Za-z0-9_.]+", "-", stem)[:_LONGEST_FOREIGN].strip("-") or "snapshot"
    return RegisteredName(datetime.fromtimestamp(int(now), UTC), stem)


def parse_registered(name: str) -> RegisteredName | None:
    """Parse the name of a registered snapshot; return ``None`` if it does not have exactly this form."""
    found = re.fullmatch(_REGISTERED, name)
    if not found or not (parse(found["stem"]) or re.fullmatch(_LONE_PART, found["stem"])):
        return None
    time = _read(found["time"])
    return RegisteredName(time, found["stem"]) if time else None


def origin_of(name: str) -> SnapshotName | None:
    """Return the name under which a snapshot was created, also for a registered one; ``None`` if it is not known."""
    registered = parse_registered(name)
    return registered.origin if registered else parse(name)


def _written(time: datetime) -> str:
    time = time.astimezone(UTC)
    # For a year below 1000, strftime writes fewer digits than strptime needs.
    return f"{time.year:04}{time:%m%dT%H%M%SZ}"


def _read(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def checked_part(value: str, what: str, *, show: bool = True) -> str:
    """Refuse a text that would make the name unreadable.

    :param what: what the text is, for the error message.
    :param show: whether the error quotes the text. A field of a Connection may hold a secret that belongs in another
        field.
    :raises OACConfigurationError: saying which characters are allowed.
    """
    if not re.fullmatch(_PART, value) or len(value) > 80:
        raise OACConfigurationError(
            f"{what} is {repr(value) if show else hidden(value)}, but as a part of the snapshot's name it must have 1 "
            "to 80 letters, digits and underscores, with dots and single hyphens inside."
        )
    return value


def checked_folder(folder: str) -> str:
    """Normalize a folder in the bucket.

    :raises OACConfigurationError: if it contains anything but plain names.
    """
    folder = folder.strip("/")
    if folder and not all(
        re.fullmatch(r"[A-Za-z0-9._-]+", part) and part not in (".", "..") for part in folder.split("/")
    ):
        raise OACConfigurationError(
            f"The folder is {folder!r}, but may contain only letters, digits, dots, underscores, hyphens and slashes."
        )
    return folder


def task_mark(dag_id: str, run_id: str, task_id: str, map_index: int, max_tries: int) -> str:
    """Return the mark of a logical task.

    Every retry has the same mark. A Clear leads to a new one, because it raises ``max_tries``, which a retry does not.
    The mark begins with :func:`run_mark`, which identifies the snapshots of a DAG run.
    """
    task = _digest(dag_id, run_id, task_id, str(map_index), str(max_tries))
    return run_mark(dag_id, run_id) + task[:_TASK_DIGITS]


def run_mark(dag_id: str, run_id: str) -> str:
    """Return the part of the mark that all tasks of a DAG run share."""
    return _digest(dag_id, run_id)[:_RUN_DIGITS]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
