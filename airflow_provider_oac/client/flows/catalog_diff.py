"""Compare the content of two instances item by item, to prove that a backup restores completely."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.flows.acl_changes import difference
from airflow_provider_oac.client.flows.catalog_search import is_missing
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.paging import fetched
from airflow_provider_oac.client.rest import acl, catalog
from airflow_provider_oac.client.rest.acl import Access
from airflow_provider_oac.client.rest.catalog import CatalogItem
from airflow_provider_oac.exceptions import OACApiError

_SIDE_BY_SIDE = 8
# Most items that a review lists.
_BULLETS = 20
# An item is equal in both instances if these members are. The modification time does not count: it is not documented
# whether a restore keeps it.
_COMPARED = ("name", "owner", "description")

Key = tuple[str, str]


@dataclass(frozen=True)
class Held(Model):
    """An item of an instance.

    :param item: the item as the catalog lists it.
    :param access: its permissions; ``None`` if they were not read, or the user may not read them.
    """

    item: CatalogItem
    access: tuple[Access, ...] | None = None


@dataclass(frozen=True)
class Comparison:
    """The differences between a copy and its source; each text names an item by type and path.

    :param compared: number of items that are in both.
    :param missing: items in the source only that existed when the copy was made.
    :param different: items in both, with their differences.
    :param extra: items in the copy only: deleted from the source since, or never there.
    :param changed_since: items that changed in the source after the copy was made, so they cannot be compared.
    :param permissions_unread: number of compared items whose permissions were read on neither side.
    """

    compared: int
    missing: tuple[str, ...]
    different: tuple[tuple[str, str], ...]
    extra: tuple[str, ...]
    changed_since: tuple[str, ...]
    permissions_unread: int

    @property
    def equal(self) -> bool:
        """Whether the copy holds everything that it should, unchanged."""
        return not self.missing and not self.different


@flow
async def held(api: Api, *, permissions: bool, manage_content: bool | None = None) -> dict[Key, Held]:
    """Return all items that an instance lists.

    It lists them type by type, because OAC shows at most 10,000 items in one list.

    :param permissions: whether to read the permissions of each item, which takes one request per item.
    :param manage_content: whether to list as a content manager, including what others own.
    :raises OACError: as :func:`airflow_provider_oac.client.paging.pages` does.
    """
    found: dict[Key, Held] = {}
    types = await api.run(fetched(catalog.list_types()))
    for kind in sorted(types):
        async for item in catalog.list_items(kind, manage_content=manage_content).each(api):
            found[item.type, ids.normal(item.id)] = Held(item)
    if permissions:
        lists = await api.gather([_access(one.item) for one in found.values()], _SIDE_BY_SIDE)
        found = {key: Held(one.item, access) for (key, one), access in zip(found.items(), lists, strict=True)}
        if unread := lists.count(None):
            api.report(
                f"This user may not read the permissions of {unread} of {len(found)} items; they are not compared."
            )
    return found


@flow
async def _access(api: Api, item: CatalogItem) -> tuple[Access, ...] | None:
    try:
        return await api.perform(acl.get(item.type, item.id))
    except OACApiError as error:
        # The type has no permissions, the item was deleted meanwhile, or the user may not read them.
        if error.status in (400, 403) or error.missing_role or is_missing(error, item.type):
            return None
        raise


def compare(source: Mapping[Key, Held], copy: Mapping[Key, Held], made_at: datetime | None = None) -> Comparison:
    """Compare the content of two instances.

    :param source: the items that were copied.
    :param copy: the items that should be equal.
    :param made_at: when the copy was made; items that changed in the source later are not compared. By default now.
    """
    missing, different, since, compared, unread = [], [], [], 0, 0
    for key, one in sorted(source.items()):
        if _changed_after(one, made_at):
            since.append(_text(key))
            continue
        other = copy.get(key)
        if other is None:
            missing.append(_text(key))
            continue
        compared += 1
        unread += one.access is None and other.access is None
        if differences := _differences(one, other):
            different.append((_text(key), "; ".join(differences)))
    extra = [_text(key) for key in sorted(copy) if key not in source]
    return Comparison(compared, tuple(missing), tuple(different), tuple(extra), tuple(since), unread)


def _changed_after(one: Held, moment: datetime | None) -> bool:
    return moment is not None and one.item.modified is not None and one.item.modified > moment


def _text(key: Key) -> str:
    return f"{key[0]} {ids.visible(key[1])}"


def _differences(one: Held, other: Held) -> list[str]:
    found = []
    for name in _COMPARED:
        here, there = getattr(one.item, name), getattr(other.item, name)
        if here != there:
            found.append(f"{name} {here!r} and {there!r}")
    if one.access is not None and other.access is not None:
        found += [f"permissions {line}" for line in difference(one.access, other.access)]
    elif (one.access is None) != (other.access is None):
        found.append(f"permissions can be read in {'the copy' if one.access is None else 'the source'} only")
    return found


_REVIEW = """\
**Target: {host}** ({system}; administrators: {owners})

**Snapshot:** {name}
**Taken of:** {source_instance}, at {taken_at} (**{age} ago**)

**The restore replaces the target's content:** {held}

**Lost, because only the target has it:**
{only_here}

**Lost, because it changed in the target since the snapshot:**
{changed_here}

**Replaced:** {replaced}.
**Not saved in a snapshot:** {not_saved}.

Only the safety snapshot, taken before the restore, can undo it."""


def review(
    facts: Mapping[str, Any], target: Mapping[Key, Held], source: Mapping[Key, Held] | None, taken_at: datetime | None
) -> str:
    """Return the Markdown text that a person reads before approving a restore.

    :param facts: ``host``, ``system``, ``owners`` of the target; ``name``, ``source_instance``, ``taken_at``, ``age``
        of the snapshot; ``replaced`` and ``not_saved``.
    :param target: the items of the target.
    :param source: the current items of the instance that the snapshot was taken of; ``None`` if it cannot be reached.
    :param taken_at: when the snapshot was taken, if that is known.
    """
    counts = sorted(Counter(kind for kind, _ in target).items())
    only_here = "Not known, because the source was not read. Anything added to the target may be lost."
    if source is not None:
        only_here = _bullets([key for key in target if key not in source])
    changed = _bullets([key for key, one in target.items() if _changed_after(one, taken_at)])
    held = ", ".join(f"{number} {kind}" for kind, number in counts) or "nothing"
    return _REVIEW.format(**facts, held=held, only_here=only_here, changed_here=changed)


def _bullets(keys: Collection[Key]) -> str:
    more = len(keys) - _BULLETS
    texts = [f"- {_text(key)}" for key in sorted(keys)[:_BULLETS]]
    return "\n".join([*texts, f"- ... and {more} more"] if more > 0 else texts) or "None."
