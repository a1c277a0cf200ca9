"""The names of our snapshots.

OAC keeps nothing about a snapshot but its name and its path, so the name carries what must be known later::

    <label>--<instance>--<UTC time>--<seal>--<mark>
    nightly--analytics-prod--20261123T203637Z--oac_seal_2026--3f9a5c1d77e0b2a4c6d8

``label`` is the author's; ``instance`` says which OAC it was taken of; ``seal`` is the name of the Connection that
holds its password; ``mark`` belongs to the logical task that took it. The file is ``<folder>/<instance>/<name>.bar``:
instances share a bucket under separate folders, and no path is used twice.

Snapshots that we register are files that exist already, made known to another instance. They must never be taken for
snapshots that we created, whose names decide what pruning deletes::

    registered--<UTC time>--<name of the file, without .bar>
    registered--20261124T060000Z--nightly--analytics-dev--20261123T203637Z--oac_seal_2026--3f9a5c1d77e0b2a4c6d8

A created name has five parts between double hyphens. A registered one has three, or seven if the file has a created
name; it has never five, so neither form can be read as the other.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import NamedTuple

from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.plain_text import hidden

# No dot at the beginning: the instance is a folder, and "." and ".." are other ones than they say.
_PART = r"[A-Za-z0-9_][A-Za-z0-9._]*(?:-[A-Za-z0-9._]+)*"
# A text: compiled when a name is first read, which is never when a DAG is parsed.
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
    """A name of ours, in its parts.

    :param label: what the author calls this series of snapshots.
    :param instance: name of the instance.
    :param time: when the snapshot was asked for; UTC, whole seconds.
    :param seal: name of the Connection with its password.
    :param mark: of the logical task; see :func:`task_mark`.
    """

    label: str
    instance: str
    time: datetime
    seal: str
    mark: str

    def __str__(self) -> str:
        return f"{self.label}--{self.instance}--{_written(self.time)}--{self.seal}--{self.mark}"

    def uri(self, folder: str) -> str:
        """Path of its file in the bucket, as OAC wants it.

        :param folder: folder that all instances share; may be empty.
        """
        return f"{instance_prefix(folder, self.instance)}{self}.bar"


def instance_prefix(folder: str, instance: str) -> str:
    """The part of the bucket that belongs to one instance."""
    return f"file:///{folder}/{instance}/" if folder else f"file:///{instance}/"


def parse(name: str) -> SnapshotName | None:
    """Read a name; ``None`` if it is not exactly of our form."""
    found = re.fullmatch(_NAME, name)
    time = _read(found["time"]) if found else None
    return (
        SnapshotName(found["label"], found["instance"], time, found["seal"], found["mark"]) if found and time else None
    )


class RegisteredName(NamedTuple):
    """A name of a registered snapshot, in its parts.

    :param time: when it was registered; UTC, whole seconds.
    :param stem: name of the file without ``.bar``, made fit if it is not one of ours.
    """

    time: datetime
    stem: str

    @property
    def origin(self) -> SnapshotName | None:
        """The name under which the file was created, if we created it."""
        return parse(self.stem)

    def __str__(self) -> str:
        return f"registered--{_written(self.time)}--{self.stem}"


def registered_name(bar_uri: str, now: float) -> RegisteredName:
    """The name for a file that is registered now.

    :param bar_uri: ``file:///folder/name.bar``.
    :param now: wall-clock time in seconds since the epoch.
    """
    stem = bar_uri.rpartition("/")[2].removesuffix(".bar")
    if parse(stem) is None:
        # Hyphens among what is replaced: a run of them must not make a part too many.
        stem = re.sub(r"[^A-Za-z0-9_.]+", "-", stem)[:_LONGEST_FOREIGN].strip("-") or "snapshot"
    return RegisteredName(datetime.fromtimestamp(int(now), UTC), stem)


def parse_registered(name: str) -> RegisteredName | None:
    """Read a name; ``None`` if it is not exactly of the registered form."""
    found = re.fullmatch(_REGISTERED, name)
    if not found or not (parse(found["stem"]) or re.fullmatch(_LONE_PART, found["stem"])):
        return None
    time = _read(found["time"])
    return RegisteredName(time, found["stem"]) if time else None


def origin_of(name: str) -> SnapshotName | None:
    """What a snapshot's name says of its making, whether it was created here or registered; ``None`` if nothing."""
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
    """Refuse a part that would make the name unreadable.

    :param what: what it is, for the error text.
    :param show: whether the error quotes it. A field of a Connection may hold a secret that belongs into another one.
    :raises OACConfigurationError: saying which characters may be used.
    """
    if not re.fullmatch(_PART, value) or len(value) > 80:
        raise OACConfigurationError(
            f"{what} is {repr(value) if show else hidden(value)}, but must have 1 to 80 letters, digits and "
            "underscores, with dots and single hyphens inside: it becomes a part of the snapshot's name, where two "
            "hyphens separate the parts."
        )
    return value


def checked_folder(folder: str) -> str:
    """Normalize a folder in the bucket.

    :raises OACConfigurationError: if it holds anything but plain names.
    """
    folder = folder.strip("/")
    if folder and not all(
        re.fullmatch(r"[A-Za-z0-9._-]+", part) and part not in (".", "..") for part in folder.split("/")
    ):
        raise OACConfigurationError(
            f"The folder is {folder!r}, but may hold letters, digits, dots, underscores, hyphens and slashes only."
        )
    return folder


def task_mark(dag_id: str, run_id: str, task_id: str, map_index: int, max_tries: int) -> str:
    """The mark of a logical task: the same on every retry, new after a Clear (which raises ``max_tries``, as a
    retry does not). Its first part is :func:`run_mark`, so the snapshots of a DAG run are known as such.
    """
    task = _digest(dag_id, run_id, task_id, str(map_index), str(max_tries))
    return run_mark(dag_id, run_id) + task[:_TASK_DIGITS]


def run_mark(dag_id: str, run_id: str) -> str:
    """The part of the mark that all tasks of a DAG run share."""
    return _digest(dag_id, run_id)[:_RUN_DIGITS]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
