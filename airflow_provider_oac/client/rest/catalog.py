"""The catalog: lists, single items, folders, copies, moves, owners.

Source: "Catalog REST Endpoints" (documented), unless noted otherwise. The calls need DV Content Author;
``manage_content`` and changing owners need the permission *Manage Content*, which BI Service Administrator has
(documented).

All ids here are encoded, as lists return them or :func:`airflow_provider_oac.client.ids.catalog_id` makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from typing import Any, TypedDict, Unpack

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.calls import Call, as_array, as_object, json_object, nothing, segment
from airflow_provider_oac.client.models import Model, member, model, text_or_none
from airflow_provider_oac.client.paging import Listing, Page, read_page
from airflow_provider_oac.exceptions import OACConfigurationError, OACResponseError
from airflow_provider_oac.transport.io import Response

USER = "User"
APPLICATION_ROLE = "ApplicationRole"
ACCOUNT_TYPES = (USER, APPLICATION_ROLE)

# OAC refuses to move these (documented).
IMMOVABLE = (ids.CONNECTIONS, ids.DATASETS, ids.DATAFLOWS, ids.SEQUENCES, ids.SCRIPTS, ids.MODELS)


@model
class CatalogItem(Model):
    """One item of the catalog, as a list or its own call returns it.

    :param type: its type, such as ``workbooks``; OAC may have others than the documented ones.
    :param id: its id, encoded, to be passed on unchanged; empty if ``fields`` left it out.
    :param name: its name for people.
    :param owner: user id of the owner.
    :param parent_id: id of its folder, encoded; ``None`` if OAC returns none.
    :param last_modified: time of the last change, as OAC returns it.
    :param raw: the whole response.
    """

    type: str = member("type")
    id: str = member("id")
    name: str = member("name")
    owner: str = member("owner")
    description: str = member("description")
    # One sample of the reference uses the second names.
    parent_id: str | None = member("parentId", "parent", read=text_or_none)
    last_modified: str | None = member("lastModified", "last modified", read=text_or_none)
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def path(self) -> str:
        """The plain id, a path or a pair; the id itself if it does not decode."""
        return ids.plain_id(self.id) or self.id

    @property
    def modified(self) -> datetime | None:
        """When it was last modified; ``None`` if OAC returns no time, or one that is not ISO 8601."""
        return moment(self.last_modified)

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON-compatible data for XCom and files."""
        return {
            "path": self.path, "type": self.type, "name": self.name, "owner": self.owner,
            "description": self.description, "last_modified": self.last_modified, "id": self.id,
            "parent_id": self.parent_id,
        }  # fmt: skip


def moment(text: str | None) -> datetime | None:
    """Parse a time as OAC writes it (ISO 8601), in UTC if it names no zone; return ``None`` if it is not a time."""
    try:
        found = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class ListOptions(TypedDict, total=False):
    """How to list items.

    ``search``: text to search for in names: a part of a name (observed); the default ``*`` matches everything.
    ``type_filter``: only items of this type. ``limit``: items per page; neither default nor maximum is documented.
    ``sort_by``: the values are not documented. ``sort_order``: ``ASC`` or ``DESC``. ``fields`` and ``excluded_fields``:
    members to return or to leave out. ``manage_content``: search as a content manager, including what others own.
    """

    search: str
    type_filter: str | None
    limit: int | None
    sort_by: str | None
    sort_order: str | None
    fields: Sequence[str]
    excluded_fields: Sequence[str]
    manage_content: bool | None


# Without a search OAC lists types instead of items (observed), so a search is always sent.
_LIST = {
    "search": "search", "type_filter": "type", "limit": "limit", "sort_by": "sortBy", "sort_order": "sortOrder",
    "fields": "fields", "excluded_fields": "excludedFields", "manage_content": "manageContent",
}  # fmt: skip


_PLACE = {
    "parent_id": "destParentId", "target_id": "destId", "name": "newItemName", "overwrite": "overwrite",
    "create_parents": "createIntermediateFolders",
}  # fmt: skip


def list_types(kind: str | None = None) -> Call[tuple[str, ...]]:
    """List the types of items.

    Operation ``GET /catalog`` or ``GET /catalog/{type}`` without a search. OAC answers with type descriptors, for a
    single type with a bare object (observed).
    """
    path = "/catalog" if kind is None else f"/catalog/{segment(kind)}"
    return Call("list the types of the catalog", "GET", path, _read_types, repeatable=True)


def list_items(kind: str | None = None, **options: Unpack[ListOptions]) -> Listing[CatalogItem]:
    """List or search items: all of them, or one page by ``.page(number)``.

    Operation ``GET /catalog`` or ``GET /catalog/{type}`` (documented).

    :param kind: the type of items; ``None`` for all.
    :param options: see :class:`ListOptions`.
    """
    doing = f"list {kind or options.get('type_filter') or 'items'} of the catalog"
    path = "/catalog" if kind is None else f"/catalog/{segment(kind)}"
    # OAC may answer 404 for a type without items (another client handles this; unconfirmed).
    return _listing(doing, path, options, none_is_missing=kind in ids.TYPES)


def list_children(kind: str, item_id: str, **options: Unpack[ListOptions]) -> Listing[CatalogItem]:
    """List the items in a container (a folder, a dashboard): all of them, or one page by ``.page(number)``.

    Operation ``GET /catalog/{type}/{id}`` with a search (documented). Whether OAC also lists items deeper down is not
    documented.

    :param kind: type of the container.
    :param item_id: its id.
    :param options: see :class:`ListOptions`.
    """
    return _listing(f"list the content of {kind} {ids.quoted(item_id)}", _path(kind, item_id), options)


def _listing(
    doing: str, path: str, options: Mapping[str, Any], *, none_is_missing: bool = False
) -> Listing[CatalogItem]:  # fmt: skip
    query = {"search": "*", **_query(options)}

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
    """Get one item.

    Operation ``GET /catalog/{type}/{id}`` (documented). It also works while OAC builds the search index (documented).

    :param kind: type of the item.
    :param item_id: its id.
    :param fields: members to return; by default all but ``content``. OAC returns ``content``, the definition of an
        analysis, only if it is named (documented); it is then in the item's ``raw``.
    :param excluded_fields: members to leave out.
    :param manage_content: search as a content manager, including what others own.
    """
    query = _query({"fields": fields, "excluded_fields": excluded_fields, "manage_content": manage_content})
    doing = f"read {kind} {ids.quoted(item_id)}"
    return Call(doing, "GET", _path(kind, item_id), _item(kind), query=query, repeatable=True)


def create_folder(name: str, parent_id: str, *, create_parents: bool | None = None) -> Call[CatalogItem]:
    """Create a folder.

    Operation ``POST /catalog/folders`` (documented; it succeeds with 200).

    :param name: its name.
    :param parent_id: id of its parent folder.
    :param create_parents: whether to create missing parent folders, too.
    """
    doing = f"create folder {name!r} in {ids.quoted(parent_id)}"
    body: dict[str, Any] = {"name": name, "parentId": parent_id}
    if create_parents is not None:
        body["createIntermediateFolders"] = create_parents
    return Call(doing, "POST", "/catalog/folders", _item(ids.FOLDERS), body=body)


def delete_folder(folder_id: str, *, recursive: bool | None = None) -> Call[None]:
    """Delete a folder; OAC keeps no copy of it.

    Operation ``DELETE /catalog/folders/{id}`` (documented).

    :param recursive: whether to delete everything below it as well; if not, only an empty folder can be deleted
        (documented).
    """
    doing, path = f"delete folder {ids.quoted(folder_id)}", _path(ids.FOLDERS, folder_id)
    return Call(doing, "DELETE", path, nothing, query={"recursive": recursive}, repeatable=True)


class PlaceOptions(TypedDict, total=False):
    """The destination of an item.

    ``parent_id``: id of the folder. ``name``: the new name, by default the current one. ``target_id``: the new id, in
    place of both. ``overwrite``: whether to replace an existing item. ``create_parents``: whether to create missing
    folders.
    """

    parent_id: str | None
    target_id: str | None
    name: str | None
    overwrite: bool | None
    create_parents: bool | None


def copy(kind: str, item_id: str, **place: Unpack[PlaceOptions]) -> Call[CatalogItem]:
    """Copy an item.

    Operation ``POST /catalog/{type}/{id}/actions/copy`` (documented).

    :param kind: type of the item.
    :param item_id: its id.
    :param place: see :class:`PlaceOptions`.
    """
    # Without overwriting, a second request may find the result of the first one.
    return _placing("copy", kind, item_id, place, repeatable=place.get("overwrite") is True)


def move(kind: str, item_id: str, **place: Unpack[PlaceOptions]) -> Call[CatalogItem]:
    """Move an item.

    Operation ``POST /catalog/{type}/{id}/actions/move`` (documented). The parameters are those of :func:`copy`.

    :raises OACConfigurationError: for a type that OAC does not move.
    """
    check_movable(kind)
    return _placing("move", kind, item_id, place)


def _placing(
    action: str, kind: str, item_id: str, place: PlaceOptions, *, repeatable: bool = False
) -> Call[CatalogItem]:  # fmt: skip
    target, name = place.get("target_id") or place.get("parent_id"), place.get("name")
    if not (target or name):
        raise OACConfigurationError("No destination given: give the folder (parent_id), a new name, or the target_id.")
    folder = ids.quoted(target) if target else "its own folder"
    doing = f"{action} {kind} {ids.quoted(item_id)} to {folder}" + (f" as {name!r}" if name else "")
    body = _renamed(place, _PLACE)
    path = f"{_path(kind, item_id)}/actions/{action}"
    return Call(doing, "POST", path, _item(kind), body=body, repeatable=repeatable)


def check_movable(kind: str) -> None:
    """Refuse a type that OAC does not move (documented).

    :raises OACConfigurationError: naming all such types.
    """
    if kind in IMMOVABLE:
        raise OACConfigurationError(
            f"OAC does not move {kind} (documented for {', '.join(IMMOVABLE)}). Next step: copy the item instead."
        )


def change_owner(kind: str, item_id: str, owner: str, account_type: str = USER) -> Call[str]:
    """Give an item to another owner.

    Operation ``POST /catalog/{type}/{id}/actions/changeOwnership`` (documented). It needs the permission *Manage
    Content* (documented).

    :param kind: type of the item.
    :param item_id: its id.
    :param owner: user id of the new owner.
    :param account_type: ``User`` or ``ApplicationRole``.
    :returns: a call whose result is OAC's text.
    """
    doing = f"give {kind} {ids.quoted(item_id)} to {account_type} {owner!r}"
    path, body = f"{_path(kind, item_id)}/actions/changeOwnership", {"accountType": account_type, "owner": owner}
    return Call(doing, "POST", path, _read_text, body=body, repeatable=True)


def _path(kind: str, item_id: str) -> str:
    return f"/catalog/{segment(kind)}/{segment(item_id)}"


def _query(options: Mapping[str, Any]) -> dict[str, Any]:
    joined = {name: ",".join([value] if isinstance(value, str) else value) or None
              for name, value in options.items() if name in ("fields", "excluded_fields")}  # fmt: skip
    return _renamed({**options, **joined}, _LIST)


def _renamed(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Rename the given options as the REST API names them.

    :raises TypeError: for an unknown option.
    """
    if unknown := sorted(set(options) - set(names)):
        raise TypeError(f"unknown options {', '.join(unknown)}; there are {', '.join(names)}")
    return {names[name]: value for name, value in options.items() if value is not None}


def _item(kind: str) -> Callable[[Response], CatalogItem]:
    return lambda response: _read_item(json_object(response), kind)


def _read_types(response: Response) -> tuple[str, ...]:
    body = response.json()
    found = body if isinstance(body, list) else [body]
    if not all(isinstance(item, dict) and isinstance(item.get("type"), str) for item in found):
        raise OACResponseError("The catalog's types should be objects with a member 'type'.")
    return tuple(item["type"] for item in found)


def _read_items(response: Response) -> Page[CatalogItem]:
    """Read a list, or an object that holds one as ``items`` (inferred)."""
    body = response.json()
    found = body.get("items") if isinstance(body, dict) else body
    return read_page(response, [_read_item(item) for item in as_array(found, "A list of items of the catalog")])


def _read_item(value: Any, kind: str = "") -> CatalogItem:
    what = "An item of the catalog"
    item = as_object(value, what)
    if set(item) == {"type"}:
        raise OACResponseError(
            f"A type descriptor ({item['type']!r}) came in place of an item, as OAC answers a list without a search "
            "(observed)."
        )
    return CatalogItem.parse(item, what, **({} if item.get("type") else {"type": kind}))


def _read_text(response: Response) -> str:
    """Read a text (documented as a JSON string), whatever its form."""
    try:
        return str(response.json())
    except OACResponseError:
        return response.body.decode(errors="replace")
