"""Decide which snapshots of a series to prune, prune them, and find the newest one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.flows.submit import unless_gone
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.rest.snapshots import Snapshot, Storage, delete, list_all
from airflow_provider_oac.client.snapshot_names import (
    SnapshotName,
    checked_folder,
    checked_part,
    origin_of,
    parse,
    parse_registered,
)
from airflow_provider_oac.exceptions import OACConfigurationError, OACError


@dataclass(frozen=True)
class Retention:
    """What to keep: a snapshot stays if **any** of the rules keeps it.

    OAC's list does not show whether a snapshot is complete or failed, so the rules count every listed one. Prune after
    a successful backup, and keep more than one.

    :param keep_last: number of newest snapshots to keep.
    :param keep_for: keep every snapshot younger than this.
    :param keep_weekly: number of latest weeks (ISO, UTC) with a snapshot; the newest of each is kept.
    :param keep_monthly: number of latest months (UTC) with a snapshot; the newest of each is kept.
    :raises OACConfigurationError: if no rule keeps anything, or one is negative.
    """

    keep_last: int = 0
    keep_for: timedelta | None = None
    keep_weekly: int = 0
    keep_monthly: int = 0

    def __post_init__(self) -> None:
        numbers = (self.keep_last, self.keep_weekly, self.keep_monthly)
        if any(number < 0 for number in numbers) or (self.keep_for is not None and self.keep_for < timedelta(0)):
            raise OACConfigurationError("A retention rule must not be negative.")
        if not any(numbers) and not self.keep_for:
            raise OACConfigurationError(
                "The retention rule is empty and would prune every snapshot. Set at least one of keep_last, keep_for, "
                "keep_weekly and keep_monthly."
            )


@dataclass(frozen=True)
class SnapshotSeries:
    """A series of snapshots that this provider may prune: name, bucket and path must all match.

    :param label: the series.
    :param instance: name of the instance.
    :param folder: folder in the bucket.
    :param storage: the bucket.
    """

    label: str
    instance: str
    folder: str
    storage: Storage

    @classmethod
    def checked(cls, label: str, instance: str, folder: str, storage: Storage) -> SnapshotSeries:
        """Make a series from user input.

        :raises OACConfigurationError: if label or folder cannot be part of a name.
        """
        return cls(checked_part(label, "snapshot_label"), instance, checked_folder(folder), storage)

    def name_of(self, snapshot: Snapshot) -> SnapshotName | None:
        """Return the parsed name if the snapshot belongs to the series; else ``None``."""
        name = parse(snapshot.name)
        if name is None or (name.label, name.instance) != (self.label, self.instance):
            return None
        if not snapshot.lies_in(self.storage) or snapshot.bar_uri != name.uri(self.folder):
            return None
        return name


@dataclass(frozen=True)
class Deletion(Model):
    """A snapshot to delete.

    :param delete_file: whether to delete its file, too; not if another listed snapshot uses it.
    """

    snapshot: Snapshot
    delete_file: bool


@dataclass(frozen=True)
class PrunePlan(Model):
    """The decision what to prune.

    :param deletions: snapshots to delete, oldest first.
    :param kept: snapshots of the series that stay, with the reason, newest first.
    :param others: number of listed snapshots outside the series, which were not considered.
    """

    deletions: tuple[Deletion, ...]
    kept: tuple[tuple[Snapshot, str], ...]
    others: int


def plan_prune(
    listed: Iterable[Snapshot],
    series: SnapshotSeries,
    retention: Retention,
    *,
    now: datetime,
    run: str | None = None,
    protected: Collection[str] = (),
) -> PrunePlan:
    """Decide what to prune.

    The newest snapshot of the series and the snapshots of this DAG run always stay. Snapshots named after a future time
    also stay, and do not count for any rule, so a clock that was wrong once does not cost good snapshots.

    :param listed: all snapshots that OAC lists.
    :param series: the series to prune.
    :param retention: what to keep.
    :param now: the time against which ages are measured.
    :param run: mark of this DAG run.
    :param protected: names or ids of snapshots that always stay.
    """
    everything = list(listed)
    protected = _set(protected)
    uses = Counter(_file(item) for item in everything)
    ours = [(name, item) for item in everything if (name := series.name_of(item))]
    ours.sort(key=lambda pair: (pair[0].time, pair[1].id), reverse=True)
    reasons = _reasons([name for name, _ in ours], retention, now, run)
    deletions, kept = [], []
    for index, (_, item) in enumerate(ours):
        reason = reasons.get(index) or ("protected" if {item.id, item.name} & protected else None)
        if reason:
            kept.append((item, reason))
        else:
            deletions.append(Deletion(item, delete_file=uses[_file(item)] == 1))
    return PrunePlan(tuple(reversed(deletions)), tuple(kept), len(everything) - len(ours))


def _set(protected: Collection[str]) -> set[str]:
    # A single text would count as a collection of letters, none of which protects anything.
    return {protected} if isinstance(protected, str) else set(protected)


def _file(snapshot: Snapshot) -> str:
    """Return the file of a snapshot, normalized so two spellings of one path are equal.

    The bucket is left out because the list may not name it. If files of two buckets seem equal, a file merely stays.
    """
    path = unquote(snapshot.bar_uri).removeprefix("file:").casefold()
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _reasons(names: list[SnapshotName], retention: Retention, now: datetime, run: str | None) -> dict[int, str]:
    """Return the reasons to keep, by position in the list, which is newest first."""
    reasons = {index: "named after a time in the future" for index, name in enumerate(names) if name.time > now}
    counted = [(index, name) for index, name in enumerate(names) if name.time <= now]
    for index, _ in counted[:1]:
        reasons[index] = "the newest"
    for index, _ in counted[: retention.keep_last]:
        reasons.setdefault(index, f"among the newest {retention.keep_last}")
    for index, name in counted:
        if retention.keep_for and now - name.time < retention.keep_for:
            reasons.setdefault(index, f"younger than {retention.keep_for}")
        if run and name.mark.startswith(run):
            reasons.setdefault(index, "of this DAG run")
    # %G is the year of an ISO week.
    for count, form, what in ((retention.keep_weekly, "%G-%V", "week"), (retention.keep_monthly, "%Y-%m", "month")):
        periods: set[str] = set()
        for index, name in counted:
            if (period := f"{name.time:{form}}") not in periods and len(periods) < count:
                periods.add(period)
                reasons.setdefault(index, f"the newest of its {what}")
    return reasons


@flow
async def prune(
    api: Api,
    series: SnapshotSeries,
    retention: Retention,
    *,
    max_delete: int,
    delete_storage: bool = True,
    dry_run: bool = False,
    run: str | None = None,
    protected: Collection[str] = (),
) -> PrunePlan:
    """Prune a series, and report a line for each snapshot.

    :param max_delete: if more would be deleted, nothing is deleted and the flow fails.
    :param delete_storage: whether files are deleted as well.
    :param dry_run: only report; also reports whether ``max_delete`` would be exceeded.
    :returns: the plan that was carried out, or with ``dry_run`` would be.
    :raises OACError: if more than ``max_delete`` snapshots would be deleted.
    """
    listed = await api.perform(list_all())
    now = datetime.fromtimestamp(api.now(), UTC)
    plan = plan_prune(listed, series, retention, now=now, run=run, protected=protected)
    # An unlisted name may be misspelled, and then does not protect the intended snapshot.
    for missing in sorted(_set(protected) - {item.id for item in listed} - {item.name for item in listed}):
        api.report(f"protected names {missing!r}, but OAC lists no such snapshot. Check the spelling.")
    for snapshot, reason in plan.kept:
        api.report(f"Keeping {snapshot.name}: {reason}.")
    count = len(plan.deletions)
    too_many = (
        f"Pruning {series.label!r} of {series.instance!r} would delete {count} of {count + len(plan.kept)} snapshots, "
        f"more than max_delete={max_delete}. None was deleted. The oldest are: "
        f"{', '.join(item.snapshot.name for item in plan.deletions[:5])}. Next step: check the plan with dry_run=True; "
        "if it is right, raise max_delete for one run."
    )
    if count > max_delete and not dry_run:
        raise OACError(too_many)
    for item in plan.deletions:
        delete_file = delete_storage and item.delete_file
        what = "with its file" if delete_file else "but not its file"
        if not item.delete_file:
            what += ", which another snapshot uses"
        if not dry_run:
            await api.run(unless_gone(delete(item.snapshot.id, delete_storage=delete_file)))
        api.report(f"{'Would delete' if dry_run else 'Deleted'} {item.snapshot.name} {what}.")
    if count > max_delete:
        api.report(f"Without dry_run this fails: {too_many}")
    return plan


def newest(
    listed: Iterable[Snapshot], label: str, instance: str, *, registered: bool, now: datetime
) -> tuple[Snapshot, SnapshotName] | None:
    """Return the newest snapshot of a series by the time in its name; of two registrations of one file, the later.

    :param label: the series.
    :param instance: the instance that it was taken of.
    :param registered: whether to search among registered snapshots instead of created ones.
    :param now: the current time. Snapshots named after a later time do not count: a clock was wrong.
    """
    found = []
    for item in listed:
        name = origin_of(item.name)
        here = (parse_registered(item.name) is not None) == registered
        if name and here and (name.label, name.instance) == (label, instance) and name.time <= now:
            found.append((item, name))
    return max(found, key=lambda pair: (pair[1].time, pair[0].name), default=None)
