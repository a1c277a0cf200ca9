"""The catalog: lists, one item, folders, copies, moves, owners. Source: "Catalog REST Endpoints" (documented), unless
said otherwise at the fact. Needs DV Content Author; ``manage_content`` and changing owners need the permission *Manage
Content*, which BI Service Administrator holds (documented).

All ids here are encoded ones, as lists return them or :func:`airflow_provider_oac.client.ids.catalog_id` makes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.calls import Call, json_object, member_names, nothing, segment
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.paging import Listing, Page, read_page
from airflow_provider_oac.exceptions import OACConfigurationError, OACResponseError
from airflow_provider_oac.transport.io import Response

USER = "User"
APPLICATION_ROLE = "ApplicationRole"
ACCOUNT_TYPES = (USER, APPLICATION_ROLE)

# OAC refuses to move these (documented).
IMMOVABLE = (ids.CONNECTIONS, ids.DATASETS, ids.DATAFLOWS, ids.SEQUENCES, ids.SCRIPTS, ids.MODELS)


@dataclass(frozen=True)
class CatalogItem(Model):
    """One item of the catalog, as a list or its own call shows it.

    :param type: its type, such as ``workbooks``; OAC may have others than are documented.
    :param id: its id, encoded, to be passed on as it is; empty if ``fields`` left it out.
    :param name: what people see.
    :param owner: user id of the owner.
    :param parent_id: id of its folder, encoded; ``None`` if it has none or it is not told.
    :param last_modified: as OAC tells it.
    :param raw: the whole answer.
    """

    type: str
    id: str
    name: str
    owner: str
    description: str
    parent_id: str | None
    last_modified: str | None
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def path(self) -> str:
        """The plain id: a path or a pair; the id itself if it is no encoded text."""
        return ids.plain_id(self.id) or self.id

    @property
    def modified(self) -> datetime | None:
        """When it was last modified; ``None`` if OAC does not tell, or not in a form that is known."""
        return moment(self.last_modified)

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it, for XCom and files."""
        return {
            "path": self.path, "type": self.type, "name": self.name, "owner": self.owner,
            "description": self.description, "last_modified": self.last_modified, "id": self.id,
            "parent_id": self.parent_id,
        }  # fmt: skip


def moment(text: str | None) -> datetime | None:
    """A time as OAC writes it (ISO 8601); UTC if it names no zone."""
    try:
        found = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def list_types(kind: str | None = None) -> Call[tuple[str, ...]]:
    """Which types of items there are. Operation ``GET /catalog`` or ``GET /catalog/{type}`` without a search, which
    answers with type descriptors, for one type even with a bare object (observed).
    """
    return Call(
        doing="list the types of the catalog",
        method="GET",
        path="/catalog" if kind is None else f"/catalog/{segment(kind)}",
        read=_read_types,
        repeatable=True,
    )


def list_items(
    kind: str | None = None,
    *,
    search: str = "*",
    type_filter: str | None = None,
    limit: int | None = None,
    sort_by: str | None = None,
    sort_order: str | None = None,
    fields: Sequence[str] = (),
    excluded_fields: Sequence[str] = (),
    manage_content: bool | None = None,
) -> Listing[CatalogItem]:
    """List or search items: all of them, or one page by ``.page(number)``. Operation ``GET /catalog`` or
    ``GET /catalog/{type}`` (documented).

    :param kind: the type of items; ``None`` for all.
    :param search: text to look for in names: a part of a name (observed), ``*`` for everything. Without one OAC
        lists types instead of items (observed), so that there is always one.
    :param type_filter: only items of this type.
    :param limit: items per page; neither default nor maximum is documented.
    :param sort_by: what to sort by; the values are not documented.
    :param sort_order: ``ASC`` or ``DESC``.
    :param fields: members to return; by default all.
    :param excluded_fields: members to leave out.
    :param manage_content: search as a content manager, also what others own.
    """
    query = _search(search, type_filter, limit, sort_by, sort_order, fields, excluded_fields, manage_content)
    doing = f"list {kind or type_filter or 'items'} of the catalog"
    path = "/catalog" if kind is None else f"/catalog/{segment(kind)}"
    # A type without items may be answered with 404 (handled by another client, unconfirmed).
    return _listing(doing, path, query, none_is_missing=kind in ids.TYPES)


def list_children(
    kind: str,
    item_id: str,
    *,
    search: str = "*",
    type_filter: str | None = None,
    limit: int | None = None,
    sort_by: str | None = None,
    sort_order: str | None = None,
    fields: Sequence[str] = (),
    excluded_fields: Sequence[str] = (),
    manage_content: bool | None = None,
) -> Listing[CatalogItem]:
    """List what a container (a folder, a dashboard) holds: all of it, or one page by ``.page(number)``. Operation
    ``GET /catalog/{type}/{id}`` with a search (documented). Whether items deeper down are listed as well is not
    documented.

    :param kind: type of the container.
    :param item_id: its id. The other parameters are those of :func:`list_items`.
    """
    query = _search(search, type_filter, limit, sort_by, sort_order, fields, excluded_fields, manage_content)
    return _listing(f"list what {kind} {ids.quoted(item_id)} holds", _path(kind, item_id), query)


def _listing(
    doing: str, path: str, query: Mapping[str, Any], *, none_is_missing: bool = False
) -> Listing[CatalogItem]:  # fmt: skip
    def page(number: int) -> Call[Page[CatalogItem]]:
        # Pages count from 1 (observed).
        return Call(doing, "GET", path, _read_items, query={**query, "page": number}, repeatable=True)

    return Listing(page, none_is_missing)


def get(
    kind: str,
    item_id: str,
    *,
    fields: Sequence[str] = (),
    excluded_fields: Sequence[str] = (),
    manage_content: bool | None = None,
) -> Call[CatalogItem]:
    """Get one item. Operation ``GET /catalog/{type}/{id}`` (documented); works also while the search index is built
    (documented).

    :param kind: type of the item.
    :param item_id: its id. The other parameters are those of :func:`list_items`.
    """
    return Call(
        doing=f"read {kind} {ids.quoted(item_id)}",
        method="GET",
        path=_path(kind, item_id),
        read=lambda response: _read_item(json_object(response), kind),
        query=_search(None, None, None, None, None, fields, excluded_fields, manage_content),
        repeatable=True,
    )


def get_analysis(analysis_id: str, fields: Sequence[str] = ()) -> Call[CatalogItem]:
    """Get details of an analysis. Operation ``GET /catalog/analysis/{urlBase64AnalysisId}`` (documented).

    :param fields: members to return; ``content``, the definition, only comes when it is named (documented) and stands
        in the item's ``raw``. By default all others.
    """
    return Call(
        doing=f"read analysis {ids.quoted(analysis_id)}",
        method="GET",
        path=_path(ids.ANALYSIS, analysis_id),
        read=lambda response: _read_item(json_object(response), ids.ANALYSIS),
        query={"fields": _words(fields)},
        repeatable=True,
    )


def create_folder(name: str, parent_id: str, *, create_parents: bool | None = None) -> Call[CatalogItem]:
    """Create a folder. Operation ``POST /catalog/folders`` (documented; it succeeds with 200).

    :param name: its name.
    :param parent_id: id of the folder it goes into.
    :param create_parents: whether missing folders above are created, too.
    """
    return Call(
        doing=f"create folder {name!r} in {ids.quoted(parent_id)}",
        method="POST",
        path="/catalog/folders",
        read=lambda response: _read_item(json_object(response), ids.FOLDERS),
        body=_given(name=name, parentId=parent_id, createIntermediateFolders=create_parents),
    )


def delete_folder(folder_id: str, *, recursive: bool | None = None) -> Call[None]:
    """Delete a folder. Operation ``DELETE /catalog/folders/{id}`` (documented). OAC keeps nothing of it.

    :param recursive: whether everything below goes as well; if not, only an empty folder can be deleted (documented).
    """
    return Call(
        doing=f"delete folder {ids.quoted(folder_id)}",
        method="DELETE",
        path=f"/catalog/{ids.FOLDERS}/{segment(folder_id)}",
        read=nothing,
        query={"recursive": recursive},
        repeatable=True,
    )


def copy(
    kind: str,
    item_id: str,
    *,
    parent_id: str | None = None,
    target_id: str | None = None,
    name: str | None = None,
    overwrite: bool | None = None,
    create_parents: bool | None = None,
) -> Call[CatalogItem]:
    """Copy an item. Operation ``POST /catalog/{type}/{id}/actions/copy`` (documented).

    :param kind: type of the item.
    :param item_id: its id.
    :param parent_id: id of the folder that the copy goes into.
    :param target_id: id that the copy is to have; instead of folder and name.
    :param name: name of the copy; by default that of the item.
    :param overwrite: whether an item that is there is replaced.
    :param create_parents: whether missing folders are created.
    """
    body = _place(parent_id, target_id, name, overwrite, create_parents)
    return Call(
        doing=f"copy {kind} {ids.quoted(item_id)} to {_place_shown(parent_id, target_id, name)}",
        method="POST",
        path=f"{_path(kind, item_id)}/actions/copy",
        read=lambda response: _read_item(json_object(response), kind),
        body=body,
        # Without it a second one may meet what the first has made.
        repeatable=overwrite is True,
    )


def move(
    kind: str,
    item_id: str,
    *,
    parent_id: str | None = None,
    target_id: str | None = None,
    name: str | None = None,
    overwrite: bool | None = None,
    create_parents: bool | None = None,
) -> Call[CatalogItem]:
    """Move an item. Operation ``POST /catalog/{type}/{id}/actions/move`` (documented). The parameters are those of
    :func:`copy`.

    :raises OACConfigurationError: for a type that OAC does not move.
    """
    check_movable(kind)
    return Call(
        doing=f"move {kind} {ids.quoted(item_id)} to {_place_shown(parent_id, target_id, name)}",
        method="POST",
        path=f"{_path(kind, item_id)}/actions/move",
        read=lambda response: _read_item(json_object(response), kind),
        body=_place(parent_id, target_id, name, overwrite, create_parents),
    )


def check_movable(kind: str) -> None:
    """Refuse a type that OAC does not move (documented).

    :raises OACConfigurationError: naming those.
    """
    if kind in IMMOVABLE:
        raise OACConfigurationError(
            f"OAC does not move {kind} (documented for {', '.join(IMMOVABLE)}). Copy the item instead, or move the "
            "content in OAC itself."
        )


def change_owner(kind: str, item_id: str, owner: str, account_type: str = USER) -> Call[str]:
    """Give an item to another owner. Operation ``POST /catalog/{type}/{id}/actions/changeOwnership`` (documented).
    Needs the permission *Manage Content* (documented).

    :param kind: type of the item.
    :param item_id: its id.
    :param owner: user id of the new owner.
    :param account_type: ``User`` or ``ApplicationRole``.
    :returns: a call whose result is OAC's text.
    """
    return Call(
        doing=f"give {kind} {ids.quoted(item_id)} to {account_type} {owner!r}",
        method="POST",
        path=f"{_path(kind, item_id)}/actions/changeOwnership",
        read=_read_text,
        body={"accountType": account_type, "owner": owner},
        repeatable=True,
    )


def _path(kind: str, item_id: str) -> str:
    return f"/catalog/{segment(kind)}/{segment(item_id)}"


def _words(names: Sequence[str]) -> str | None:
    return ",".join([names] if isinstance(names, str) else names) or None


def _search(
    search: str | None,
    type_filter: str | None,
    limit: int | None,
    sort_by: str | None,
    sort_order: str | None,
    fields: Sequence[str],
    excluded_fields: Sequence[str],
    manage_content: bool | None,
) -> dict[str, Any]:
    return {
        "search": search,
        "type": type_filter,
        "limit": limit,
        "sortBy": sort_by,
        "sortOrder": sort_order,
        "fields": _words(fields),
        "excludedFields": _words(excluded_fields),
        "manageContent": manage_content,
    }


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _place(
    parent_id: str | None, target_id: str | None, name: str | None, overwrite: bool | None, create_parents: bool | None
) -> dict[str, Any]:
    if not (parent_id or target_id or name):
        raise OACConfigurationError(
            "Where to is not said: give the folder (parent_id), a new name, or the whole new id (target_id)."
        )
    return _given(
        destParentId=parent_id, destId=target_id, newItemName=name, overwrite=overwrite,
        createIntermediateFolders=create_parents,
    )  # fmt: skip


def _place_shown(parent_id: str | None, target_id: str | None, name: str | None) -> str:
    place = target_id or parent_id
    return (ids.quoted(place) if place else "its own folder") + (f" as {name!r}" if name else "")


def _read_types(response: Response) -> tuple[str, ...]:
    body = response.json()
    found = body if isinstance(body, list) else [body]
    if not all(isinstance(item, dict) and isinstance(item.get("type"), str) for item in found):
        raise OACResponseError("The types of the catalog should be objects with a member 'type'.")
    return tuple(item["type"] for item in found)


def _read_items(response: Response) -> Page[CatalogItem]:
    """A list, or a container that holds one as ``items`` (inferred)."""
    body = response.json()
    found = body.get("items") if isinstance(body, dict) else body
    if not isinstance(found, list):
        members = member_names(body) if isinstance(body, dict) else type(body).__name__
        raise OACResponseError(f"A list of items was expected, but this came: {members}.")
    return read_page(response, [_read_item(item) for item in found])


def _read_item(item: Any, kind: str = "") -> CatalogItem:
    if not isinstance(item, dict):
        raise OACResponseError(f"An item of the catalog should be a JSON object, {type(item).__name__} came.")
    if set(item) == {"type"}:
        raise OACResponseError(
            f"OAC answered with a type descriptor ({item['type']!r}) in place of an item, as it does for a list "
            "without a search (observed)."
        )
    # The keys with blanks and without Id stand in one sample of the reference.
    modified = item.get("lastModified") or item.get("last modified")
    parent = item.get("parentId") or item.get("parent")
    return CatalogItem(
        type=str(item.get("type") or kind),
        id=str(item.get("id") or ""),
        name=str(item.get("name") or ""),
        owner=str(item.get("owner") or ""),
        description=str(item.get("description") or ""),
        parent_id=str(parent) if parent else None,
        last_modified=str(modified) if modified else None,
        raw=item,
    )


def _read_text(response: Response) -> str:
    """A text (documented as a JSON string), whatever its form."""
    try:
        body = response.json()
    except OACResponseError:
        body = response.body.decode(errors="replace")
    return body if isinstance(body, str) else str(body)
