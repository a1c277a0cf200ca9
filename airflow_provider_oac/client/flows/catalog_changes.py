"""Changing the catalog such that doing it again does no harm: folders, copies, moves, deletion, owners.

OAC has no idempotency key. A search shows what was done: an item whose path follows from folder and name is read by its
id, which needs no search index (documented); others are searched for in the list.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.flows.catalog_search import CONTAINERS, below, find_by_id, find_by_name
from airflow_provider_oac.client.flows.submit import Submission, unless_gone
from airflow_provider_oac.client.flows.writers import in_groups
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.paging import PagePlan, index_not_ready
from airflow_provider_oac.client.rest import catalog
from airflow_provider_oac.client.rest.catalog import USER, CatalogItem
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACConfigurationError,
    OACError,
    OACKilledError,
    OACTakenError,
    OACTransportError,
    OACUncertainError,
)

# Above these there is nothing that belongs to one task alone.
_ROOTS = frozenset({"", "shared", "users"})
# What has an owner that can be changed (documented). A single item of another type is OAC's to judge.
OWNED = frozenset(
    {
        ids.WORKBOOKS, ids.DASHBOARDS, ids.ANALYSIS, ids.REPORTS, ids.FOLDERS, ids.CONNECTIONS, ids.DATASETS,
        ids.DATAFLOWS, ids.SEQUENCES, ids.MODELS,
    }
)  # fmt: skip
# How many items an error names, a result names, and a flow holds for each request that runs.
_NAMED, _RETURNED, _HELD = 5, 100, 4


@dataclass(frozen=True)
class Place:
    """Where an item is to go.

    :param parent_id: id of the folder; ``None`` for the one where the item is.
    :param name: its name there; ``None`` for the one that it has.
    :param overwrite: whether an item that is there is replaced.
    :param create_parents: whether missing folders are created.
    """

    parent_id: str | None = None
    name: str | None = None
    overwrite: bool = False
    create_parents: bool = False


@dataclass(frozen=True)
class Arranged(Model):
    """What became of an item.

    :param item: the item as it is now.
    :param done_before: whether an earlier attempt had done it, so nothing was sent.
    """

    item: CatalogItem
    done_before: bool = False


@dataclass
class _Change(Submission[CatalogItem, Arranged]):
    """A change that is searched for before anything is sent, which asking again does not repeat."""

    confirmation_timeout: float = field(default=0.0, kw_only=True)

    where = "the catalog"
    looks_first = True
    sends = 1

    def accepted(self, api: Api, answer: CatalogItem) -> Arranged:
        """The item in its place."""
        return Arranged(answer)

    def uncertain(self, lost: OACError, sends: int) -> OACError:
        """The failure itself: the next try searches first."""
        return lost


@dataclass
class NewFolder(_Change):
    """Creates a folder unless it is there.

    :param parent_id: id of the folder it is in.
    :param name: its name.
    :param create_parents: whether missing folders above are created.
    """

    parent_id: str
    name: str
    create_parents: bool = True

    @property
    def doing(self) -> str:
        """What OAC is asked to do."""
        return f"create folder {self.name!r}"

    async def trace(self, api: Api, lost: OACError | None) -> Arranged | None:
        """The folder, if it is there."""
        found = await _there(api, ids.FOLDERS, self.parent_id, self.name)
        return None if found is None else Arranged(found, done_before=lost is None)

    def call(self, now: float) -> Call[CatalogItem]:
        """The request."""
        return catalog.create_folder(self.name, self.parent_id, create_parents=self.create_parents)

    async def refused(self, api: Api, error: OACApiError, lost: OACError | None) -> Arranged | None:
        """Decide whether OAC says that the folder is there; how it does is not documented."""
        if error.status in (400, 409):
            # If the catalog cannot be read, the refusal says more than the failure to read it.
            with suppress(OACApiError, OACTransportError):
                if found := await self.trace(api, None):
                    return found
        raise error


@dataclass
class _Placing(_Change):
    """Puts an item somewhere, once.

    :param kind: type of the item.
    :param item_id: its id.
    :param place: where it goes.
    :raises OACTakenError: if something else is there already, and is not to be replaced.
    """

    kind: str
    item_id: str
    place: Place
    _target: Place = field(default=Place(), init=False)

    operation: ClassVar[Callable[..., Call[CatalogItem]]]

    @property
    def doing(self) -> str:
        """What OAC is asked to do."""
        return f"{type(self).__name__.lower()} {self.kind} {ids.shown(self.item_id)}"

    def call(self, now: float) -> Call[CatalogItem]:
        """The request."""
        return type(self).operation(self.kind, self.item_id, **asdict(self._target))

    async def there(self, api: Api, source: CatalogItem | None) -> CatalogItem | None:
        """The item that is in the place, unless it is to be replaced.

        :param source: the item itself; ``None`` if it is gone. One that is known by its path need not name its folder
            (one sample of details does not).
        """
        folder, last = ids.split_path(self.item_id) or ((source.parent_id, source.name) if source else (None, None))
        parent_id, name = self.place.parent_id or folder, self.place.name or last
        self._target = replace(self.place, parent_id=parent_id, name=name)
        if source and not parent_id:
            raise OACConfigurationError(
                f"The folder of {ids.shown(source.id)} is not known. Name the folder that is meant."
            )
        if not (parent_id and name) or (source and self.place.overwrite):
            return None
        return await _there(api, self.kind, parent_id, name)

    def done(self, api: Api, there: CatalogItem, lost: OACError | None) -> Arranged:
        """The item that an earlier attempt put there."""
        api.report(f"{ids.shown(there.id)} is there: an earlier attempt to {self.doing} succeeded.")
        return Arranged(there, done_before=lost is None)

    def taken(self, there: CatalogItem) -> OACError:
        """The error if something else is in the place."""
        return OACTakenError(
            f"There is a {ids.visible(there.type)} {ids.shown(there.id)} already, so {ids.shown(self.item_id)} cannot "
            "go there. Nothing was changed. Give another name, or replace it with overwrite=True."
        )


@dataclass
class Copy(_Placing):
    """Copies an item. If an earlier attempt may have made the copy (``suspect``), one that is there counts as it; of a
    folder only if it holds what the source holds.

    :raises OACUncertainError: if a copy may have broken off halfway.
    """

    operation = staticmethod(catalog.copy)

    async def trace(self, api: Api, lost: OACError | None) -> Arranged | None:
        """The copy, if it is there. A replaced item does not show whether it was."""
        source: CatalogItem = await api.perform(catalog.get(self.kind, self.item_id))
        there = await self.there(api, source)
        if there is None:
            return None
        if lost is None and not self.suspect:
            raise self.taken(there)
        if self.kind in CONTAINERS:
            await _check_whole(api, self.kind, self.item_id, there)
        return self.done(api, there, lost)


@dataclass
class Move(_Placing):
    """Moves an item.

    :raises OACConfigurationError: for a type that OAC does not move, or a folder that is not to be moved.
    """

    operation = staticmethod(catalog.move)

    def __post_init__(self) -> None:
        catalog.check_movable(self.kind)
        check_no_root(self.kind, self.item_id, "moved")

    async def trace(self, api: Api, lost: OACError | None) -> Arranged | None:
        """The item in its new place, if it is gone from the old one."""
        source = await api.run(find_by_id(self.kind, self.item_id))
        if source is None and (self.suspect or lost is not None):
            there = await self.there(api, None)
            if there is not None:
                return self.done(api, there, lost)
        if lost is not None:
            return None
        if source is None:
            # This call fails in OAC's words.
            await api.perform(catalog.get(self.kind, self.item_id))
        there = await self.there(api, source)
        if there is not None:
            raise self.taken(there)
        return None


@flow
async def delete_folder(api: Api, folder_id: str, *, recursive: bool = False, missing_ok: bool = False) -> bool:
    """Delete a folder. Returns whether there was one.

    :param recursive: whether everything below goes as well.
    :param missing_ok: whether a folder that is not there is as good as deleted.
    :raises OACConfigurationError: if it is not empty, or one that holds everybody's content.
    :raises OACApiError: if OAC refuses.
    """
    check_no_root(ids.FOLDERS, folder_id, "deleted")
    details = catalog.get(ids.FOLDERS, folder_id)
    if not missing_ok:
        await api.perform(details)
    elif not await api.run(unless_gone(details)):
        return False
    if not recursive:
        await _check_empty(api, folder_id)
    if not await api.run(unless_gone(catalog.delete_folder(folder_id, recursive=recursive))):
        # It was there just now: its response was lost, and it went with the first attempt.
        api.report("The folder went while it was deleted.")
    return True


@flow
async def change_owners(
    api: Api,
    kind: str,
    item_id: str,
    owner: str,
    account_type: str = USER,
    *,
    recursive: bool = False,
    only_owner: str | None = None,
    manage_content: bool = True,
    limit: int = 4,
) -> tuple[int, list[str]]:
    """Give an item, or everything below a folder as well, to another owner.

    Items that have this owner already are given once more if they are named, and left alone below a folder.

    :param only_owner: only items of this owner.
    :param manage_content: search as a content manager, also what the user may not see; otherwise that stays as it is.
    :returns: how many were given, and the paths of the first hundred.
    :raises OACApiError: if OAC refuses; what was given before stays given, and doing it again continues.
    """
    if recursive and kind != ids.FOLDERS:
        raise OACConfigurationError(f"Only what lies below a folder can be handed over as a whole, not below {kind}.")

    def wanted(item: CatalogItem) -> bool:
        named = ids.same(item.id or item_id, item_id)
        fits = item.owner == only_owner if only_owner else named or item.owner != owner
        return fits and (named or item.type in OWNED)

    count, paths = 0, list[str]()
    items = below(api, kind, item_id, PagePlan(limit), itself=True, recursive=recursive, manage_content=manage_content)
    async for group in in_groups(items, limit * _HELD):
        chosen = [item for item in group if wanted(item)]
        calls = [catalog.change_owner(item.type, item.id or item_id, owner, account_type) for item in chosen]
        await api.gather(calls, limit)
        count += len(chosen)
        paths += [item.path for item in chosen][: _RETURNED - len(paths)]
    return count, paths


def check_no_root(kind: str, item_id: str, what: str) -> None:
    """Refuse a folder that everybody's content lies in: a template that rendered to nothing may lead there.

    :raises OACConfigurationError: naming it.
    """
    if kind != ids.FOLDERS:
        return
    plain = ids.plain_id(item_id) or ""
    # Whether OAC tells upper from lower case here, or passes over an empty part, is not documented.
    inside = plain.casefold().removeprefix(ids.CATALOG_ROOT.casefold()).strip("/")
    if inside and plain.startswith("/") and any(part.strip() in ("", ".", "..") for part in inside.split("/")):
        raise OACConfigurationError(
            f"The path of the folder {plain!r} has an empty part, so it is not certain which folder is meant, and none "
            f"is {what}. If a part of it comes from a template: what does that render to?"
        )
    if inside in _ROOTS:
        raise OACConfigurationError(
            f"The folder {plain or item_id!r} holds everybody's content and is not {what} by this provider. If a part "
            "of its path comes from a template: what does that render to?"
        )


async def _check_empty(api: Api, folder_id: str) -> None:
    """OAC deletes only an empty folder without ``recursive`` (documented), but not how it says so."""
    try:
        page = await api.perform(catalog.list_children(ids.FOLDERS, folder_id, limit=_NAMED).page(1))
    except OACApiError as error:
        # If the index is not ready, OAC's own refusal has to do.
        if not index_not_ready(error):
            raise
        return
    if page.items:
        names = ", ".join(repr(item.name) for item in page.items[:_NAMED])
        more = " and maybe more" if page.more or len(page.items) >= _NAMED else ""
        raise OACConfigurationError(
            f"The folder {ids.quoted(folder_id)} is not empty: it holds {names}{more}. Nothing was deleted; "
            "recursive=True deletes it with everything below."
        )


async def _check_whole(api: Api, kind: str, source_id: str, there: CatalogItem) -> None:
    """A copy of a folder that broke off halfway is there, too: it is whole if it holds what the source holds.

    :raises OACUncertainError: if it does not, or that is unknown.
    """
    what = f"It is not known whether {ids.shown(there.id)} is a whole copy of {ids.shown(source_id)}"
    then = (
        "The copy may have broken off, or still continue, or the source has changed since. Run the task again later: "
        "it compares once more. If it stays, check both, delete the copy unless somebody works in it, and clear the "
        "task."
    )
    try:
        wanted = await _held(api, kind, source_id, but=there.id)
        found = await _held(api, kind, there.id)
    except OACKilledError:
        raise
    except OACError as error:
        raise OACUncertainError(f"{what}, since the two could not be compared. {then} The failure: {error}") from error
    if wanted != found:
        raise OACUncertainError(
            f"{what}: missing in the copy: {_some(wanted - found)}; only in the copy: {_some(found - wanted)}. {then}"
        )


async def _held(api: Api, kind: str, item_id: str, but: str | None = None) -> set[tuple[str, str]]:
    """Type and path, from the container on, of everything below one.

    :param but: a container that does not count, with what it holds: a copy that lies in its source.
    """
    top, held = ids.normal(item_id) + "/", set()
    out = ids.normal(but) if but else None
    async for item in below(api, kind, item_id):
        path = ids.normal(item.id)
        if out is None or not f"{path}/".startswith(f"{out}/"):
            held.add((item.type, path.removeprefix(top) if path.startswith(top) else item.name))
    return held


def _some(items: set[tuple[str, str]]) -> str:
    more = len(items) - _NAMED
    names = [f"{kind} {path!r}" for kind, path in sorted(items)[:_NAMED]]
    return ", ".join([*names, f"{more} more"] if more > 0 else names) or "none"


async def _there(api: Api, kind: str, parent_id: str, name: str) -> CatalogItem | None:
    """The item of this name in this folder."""
    folder = ids.plain_id(parent_id)
    if folder and folder.startswith("/") and kind not in catalog.IMMOVABLE:
        return await api.run(find_by_id(kind, ids.encoded(f"{folder.rstrip('/')}/{name}")))
    # Its id is a pair, which does not follow from the folder, and not each of them names its folder.
    found = await api.run(find_by_name(kind, name))
    return next((item for item in found if item.parent_id is None or ids.same(item.parent_id, parent_id)), None)
