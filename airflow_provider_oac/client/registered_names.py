"""The names of snapshots that we register: files that exist already, made known to another instance.

They must never be taken for snapshots that we created, whose names decide what pruning deletes::

    registered--<UTC time>--<name of the file, without .bar>
    registered--20261124T060000Z--nightly--analytics-dev--20261123T203637Z--oac_seal_2026--3f9a5c1d77e0b2a4c6d8

A created name has five parts between double hyphens. A registered one has three, or seven if the file has a created
name; it has never five, so that neither form can be read as the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from airflow_provider_oac.client.rest.snapshots import Snapshot
from airflow_provider_oac.client.snapshot_names import SnapshotName, parse

_NAME = re.compile(r"registered--(?P<time>[0-9]{8}T[0-9]{6}Z)--(?P<stem>.+)")
_LONE_PART = re.compile(r"[A-Za-z0-9_.]+(?:-[A-Za-z0-9_.]+)*")
_TIME = "%Y%m%dT%H%M%SZ"
_LONGEST_FOREIGN = 80


@dataclass(frozen=True)
class RegisteredName:
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
        time = self.time.astimezone(UTC)
        return f"registered--{time.year:04}{time:%m%dT%H%M%SZ}--{self.stem}"


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
    found = _NAME.fullmatch(name)
    if not found or not (parse(found["stem"]) or _LONE_PART.fullmatch(found["stem"])):
        return None
    try:
        time = datetime.strptime(found["time"], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return RegisteredName(time, found["stem"])


def origin_of(name: str) -> SnapshotName | None:
    """What a snapshot's name says of its making, whether it was created here or registered; ``None`` if nothing."""
    registered = parse_registered(name)
    return registered.origin if registered else parse(name)


def newest(
    listed: Iterable[Snapshot], label: str, instance: str, *, registered: bool, now: datetime
) -> tuple[Snapshot, SnapshotName] | None:
    """The newest snapshot of a series, by the time in its name; of two registrations of one file, the later.

    :param label: the series.
    :param instance: the instance that it was taken of.
    :param registered: whether to look among registered ones, instead of created ones.
    :param now: those named after a time that has not come yet do not count: a clock was wrong.
    """
    found = []
    for item in listed:
        name = origin_of(item.name)
        here = (parse_registered(item.name) is not None) == registered
        if name and here and (name.label, name.instance) == (label, instance) and name.time <= now:
            found.append((item, name))
    return max(found, key=lambda pair: (pair[1].time, pair[0].name), default=None)
