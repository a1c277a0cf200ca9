"""Idempotent changes of the catalog: folders, copies, moves, deletion, owners.

OAC has no idempotency key, so a search shows what an earlier attempt did. An item whose path follows from folder and
name is read by its id, which needs no search index (documented); other items are searched for in the list.
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

# These folders hold the content of all users.
_ROOTS = frozenset({"", "shared", "users"})
# Types whose owner can be changed (documented). For a single item of another type, OAC decides.
OWNED = (
    ids.WORKBOOKS, ids.DASHBOARDS, ids.ANALYSIS, ids.REPORTS, ids.FOLDERS, ids.CONNECTIONS, ids.DATASETS,
    ids.DATAFLOWS, ids.SEQUENCES, ids.MODELS,
)  # fmt: skip
# Most items that an error names, that a result names, and that a flow holds per concurrent request.
_NAMED, _RETURNED, _HELD = 5, 100, 4


@dataclass(frozen=True)
class Place:
    """The destination of an item.

    :param parent_id: id of the folder; ``None`` for the item's current folder.
    :param name: the new name; ``None`` for the item's current name.
    :param overwrite: whether to replace an existing item.
    :param create_parents: whether to create missing folders.
    """

    parent_id: str | None = None
    name: str | None = None
    overwrite: bool = False
    create_parents: bool = False


@dataclass(frozen=True)
class Arranged(Model):
    """The result of a change to an item.

    :param item: the item as it is now.
    :param done_before: whether an earlier attempt made the change, so nothing was sent.
    """

    item: CatalogItem
    done_before: bool = False


@dataclass
class _Change(Submission[CatalogItem, Arranged]):
    """A change that is searched for before it is sent, and sent at most once per try."""

    confirmation_timeout: float = field(default=0.0, kw_only=True)

    where = "the catalog"
    looks_first = True
    sends = 1

    def accepted(self, api: Api, answer: CatalogItem) -> Arranged:
        """Return the item in its place."""
        return Arranged(answer)

    def uncertain(self, lost: OACError, sends: int) -> OACError:
        """Return the failure itself: the next try searches first."""
        return lost


@dataclass
class NewFolder(_Change):
    """Creates a folder unless it exists.

    :param parent_id: id of its parent folder.
    :param name: its name.
    :param create_parents: whether to create missing parent folders.
    """

    parent_id: str
    name: str
    create_parents: bool = True

    @property
    def doing(self) -> str:
        """Describe the request for messages."""
        return f"create folder {self.name!r}"

    async def trace(self, api: Api, lost: OACError | None) -> Arranged | None:
        """Return the folder if it exists."""
        found = await _there(api, ids.FOLDERS, self.parent_id, self.name)
        return None if found is None else Arranged(found, done_before=lost is None)

    def call(self, now: float) -> Call[CatalogItem]:
        """Return the request."""
        return catalog.create_folder(self.name, self.parent_id, create_parents=self.create_parents)

    async def refused(self, api: Api, error: OACApiError, lost: OACError | None) -> Arranged | None:
        """Decide whether OAC refuses because the folder exists; the form of that refusal is not documented."""
        if error.status in (400, 409):
            # If the catalog cannot be read either, the refusal is the more useful error.
            with suppress(OACApiError, OACTransportError):
                if found := await self.trace(api, None):
                    return found
        raise error


@dataclass
class _Placing(_Change):
    """Puts an item in a place, once.

    :param kind: type of the item.
    :param item_id: its id.
    :param place: its destination.
    :raises OACTakenError: if another item is already there and is not to be replaced.
    """

    kind: str
    item_id: str
    place: Place
    _target: Place = field(default=Place(), init=False)

    operation: ClassVar[Callable[..., Call[CatalogItem]]]

    @property
    def doing(self) -> str:
        """Describe the request for messages."""
        return f"{type(self).__name__.lower()} {self.kind} {ids.shown(self.item_id)}"

    def call(self, now: float) -> Call[CatalogItem]:
        """Return the request."""
        return type(self).operation(self.kind, self.item_id, **asdict(self._target))

    async def there(self, api: Api, source: CatalogItem | None) -> CatalogItem | None:
        """Return the item at the destination, unless it is to be replaced.

        :param source: the item itself; ``None`` if it is gone. An item that is known by its path need not name its
            folder (one sample of details does not).
        """
        # Once it is gone, an id that is not a path shows neither: the first look has kept them.
        known = (source.parent_id, source.name) if source else (self._target.parent_id, self._target.name)
        folder, last = ids.split_path(self.item_id) or known
        parent_id, name = self.place.parent_id or folder, self.place.name or last
        self._target = replace(self.place, parent_id=parent_id, name=name)
        if source and not parent_id:
            raise OACConfigurationError(f"OAC does not return the folder of {ids.shown(source.id)}. Give the folder.")
        if not (parent_id and name) or (source and self.place.overwrite):
            return None
        return await _there(api, self.kind, parent_id, name)

    def done(self, api: Api, there: CatalogItem, lost: OACError | None) -> Arranged:
        """Return the item that an earlier attempt put there."""
        api.report(f"{ids.shown(there.id)} exists: an earlier attempt to {self.doing} succeeded.")
        return Arranged(there, done_before=lost is None)

    def taken(self, there: CatalogItem) -> OACError:
        """Return the error for a destination that another item occupies."""
        return OACTakenError(
            f"Could not {self.doing}: {ids.visible(there.type)} {ids.shown(there.id)} already exists. Nothing was "
            "changed. Give another name, or replace it with overwrite=True."
        )


@dataclass
class Copy(_Placing):
    """Copies an item.

    If an earlier attempt may have made the copy (``suspect``), an item at the destination counts as the copy. A folder
    counts only if it holds what the source holds.

    :raises OACUncertainError: if a copy may be incomplete.
    """

    operation = staticmethod(catalog.copy)

    async def trace(self, api: Api, lost: OACError | None) -> Arranged | None:
        """Return the copy if it exists; with ``overwrite``, an existing item does not prove that it was copied."""
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

    :raises OACConfigurationError: for a type that OAC does not move, or a folder that must not be moved.
    """

    operation = staticmethod(catalog.move)

    def __post_init__(self) -> None:
        catalog.check_movable(self.kind)
        check_no_root(self.kind, self.item_id, "moved")

    async def trace(self, api: Api, lost: OACError | None) -> Arranged | None:
        """Return the item at its new place if it is gone from the old one."""
        source = await api.run(find_by_id(self.kind, self.item_id))
        gone = source is None and (self.suspect or lost is not None)
        if gone and (there := await self.there(api, None)) is not None:
            return self.done(api, there, lost)
        if lost is not None:
            return None
        if source is None:
            # This call fails with OAC's own error.
            source = await api.perform(catalog.get(self.kind, self.item_id))
        if (there := await self.there(api, source)) is not None:
            raise self.taken(there)
        return None


@flow
async def delete_folder(api: Api, folder_id: str, *, recursive: bool = False, missing_ok: bool = False) -> bool:
    """Delete a folder, and return whether it existed.

    :param recursive: whether to delete everything below it as well.
    :param missing_ok: whether a missing folder counts as deleted.
    :raises OACConfigurationError: if the folder is not empty, or holds the content of all users.
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
        # The folder existed a moment ago, so the first attempt deleted it and its response was lost.
        api.report("The folder is already gone: an earlier attempt deleted it.")
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
    """Give an item, or a folder and everything below it, to another owner.

    The named item is changed even if it already has this owner; items below a folder are skipped in that case.

    :param only_owner: change only items of this owner.
    :param manage_content: search as a content manager, including items that the user may not see. Without it, those
        items stay unchanged.
    :returns: the number of changed items, and the paths of the first hundred.
    :raises OACApiError: if OAC refuses. Items that were already changed stay changed; another run continues.
    """
    if recursive and kind != ids.FOLDERS:
        raise OACConfigurationError(f"recursive=True needs a folder, not {kind}.")

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
    """Refuse a folder that holds the content of all users: a template that rendered to nothing may lead there.

    :raises OACConfigurationError: naming the folder.
    """
    if kind != ids.FOLDERS:
        return
    plain = ids.plain_id(item_id) or ""
    # It is not documented whether OAC distinguishes case here, or ignores an empty part.
    inside = plain.casefold().removeprefix(ids.CATALOG_ROOT.casefold()).strip("/")
    if inside and plain.startswith("/") and any(part.strip() in ("", ".", "..") for part in inside.split("/")):
        problem = "has an empty part or a part of dots"
    elif inside in _ROOTS:
        problem = "holds the content of all users"
    else:
        return
    raise OACConfigurationError(
        f"The folder {plain or item_id!r} {problem}, so it is not {what}. Next step: if a part of its path is a "
        "template, check what it renders to."
    )


async def _check_empty(api: Api, folder_id: str) -> None:
    """Refuse a folder that is not empty.

    Without ``recursive`` OAC deletes only an empty folder (documented); the form of its refusal is not documented.
    """
    try:
        page = await api.perform(catalog.list_children(ids.FOLDERS, folder_id, limit=_NAMED).page(1))
    except OACApiError as error:
        # If the index is not ready, OAC itself has to refuse.
        if not index_not_ready(error):
            raise
        return
    if page.items:
        names = ", ".join(repr(item.name) for item in page.items[:_NAMED])
        more = " and maybe more" if page.more or len(page.items) >= _NAMED else ""
        raise OACConfigurationError(
            f"The folder {ids.quoted(folder_id)} is not empty: it contains {names}{more}. Nothing was deleted. "
            "recursive=True deletes it with its content."
        )


async def _check_whole(api: Api, kind: str, source_id: str, there: CatalogItem) -> None:
    """Verify that a copied folder is complete: a copy that broke off halfway also exists.

    :raises OACUncertainError: if its content differs from the source's, or the two cannot be compared.
    """
    problem, cause = "", None
    try:
        wanted = await _content(api, kind, source_id, but=there.id)
        found = await _content(api, kind, there.id)
        if wanted != found:
            problem = f"missing in the copy: {_some(wanted - found)}; only in the copy: {_some(found - wanted)}."
    except OACKilledError:
        raise
    except OACError as error:
        problem, cause = f"the two could not be compared: {error}", error
    if problem:
        raise OACUncertainError(
            f"{ids.shown(there.id)} may be an incomplete copy of {ids.shown(source_id)}: {problem} Likely cause: the "
            "copy failed or still runs, or the source changed. Next step: run the task again later; it compares them "
            "again. If that fails too, check both, delete the copy if it is not in use, and clear the task."
        ) from cause


async def _content(api: Api, kind: str, item_id: str, but: str | None = None) -> set[tuple[str, str]]:
    """Return type and relative path of everything below a container.

    :param but: a container to leave out with its content: a copy inside its source.
    """
    top, found = ids.normal(item_id) + "/", set()
    out = ids.normal(but) if but else None
    async for item in below(api, kind, item_id):
        path = ids.normal(item.id)
        if out is None or not f"{path}/".startswith(f"{out}/"):
            found.add((item.type, path.removeprefix(top) if path.startswith(top) else item.name))
    return found


def _some(items: set[tuple[str, str]]) -> str:
    more = len(items) - _NAMED
    names = [f"{kind} {path!r}" for kind, path in sorted(items)[:_NAMED]]
    return ", ".join([*names, f"{more} more"] if more > 0 else names) or "none"


async def _there(api: Api, kind: str, parent_id: str, name: str) -> CatalogItem | None:
    """Return the item of this name in this folder."""
    folder = ids.plain_id(parent_id)
    if folder and folder.startswith("/") and kind not in catalog.IMMOVABLE:
        return await api.run(find_by_id(kind, ids.encoded(f"{folder.rstrip('/')}/{name}")))
    # The item's id is a pair, which does not follow from the folder, and some items do not name their folder.
    found = await api.run(find_by_name(kind, name))
    return next((item for item in found if item.parent_id is None or ids.same(item.parent_id, parent_id)), None)
