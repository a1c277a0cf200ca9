"""Operators for the catalog: list, folders, copy, move, owners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Unpack

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import AirflowFailException
from airflow_provider_oac.arguments import EMPTY, CatalogPath, Location, Number, OneOf, path_text
from airflow_provider_oac.exceptions import OACApiError, OACConfigurationError
from airflow_provider_oac.operators.base import OACArguments, OACBaseOperator
from airflow_provider_oac.operators.catalog_base import ItemArguments, ItemOperator, PlacingOperator
from airflow_provider_oac.operators.files import sink_of
from airflow_provider_oac.operators.task_state import TaskKey

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.flows.catalog_changes import Arranged, Place
    from airflow_provider_oac.client.flows.submit import Submission
    from airflow_provider_oac.client.paging import Source
    from airflow_provider_oac.client.rest.catalog import CatalogItem

__all__ = [
    "OACChangeOwnerOperator",
    "OACCopyCatalogItemOperator",
    "OACCreateFolderOperator",
    "OACDeleteFolderOperator",
    "OACListCatalogOperator",
    "OACMoveCatalogItemOperator",
]


class OACListCatalogOperator(OACBaseOperator):
    """Lists or searches the catalog: all of it, what lies in a folder, or everything below one.

    The result (XCom) is a list of dictionaries: ``path`` (or the pair ``'owner'.'name'``), ``type``, ``name``,
    ``owner``, ``description``, ``last_modified``, ``id`` and ``parent_id`` (encoded, for other calls and operators).
    With a ``destination`` they are written there as JSON lines, and the result is a dictionary: ``path``, ``items``
    (how many), ``size``, ``sha256``.

    OAC lists at most 10,000 items (documented): a list that reaches this fails, unless ``allow_truncated`` is set. A
    search index that is being built, as after a restore, is waited for.

    :param catalog_type: only items of this type, such as ``workbooks``; by default all.
    :param search: only items whose name holds this text; ``*`` for all.
    :param folder_path: path of the folder that is listed, such as ``/@Catalog/shared/Sales``; or
    :param folder_id: its id as lists return it; by default the whole catalog.
    :param recursive: whether everything below the folder is listed, folder by folder.
    :param owned_by: only items of this owner.
    :param manage_content: list as a content manager, also what others own; needs the permission *Manage Content*.
    :param destination: URL of a file that takes the list, in any store that ``ObjectStoragePath`` reaches.
    :param destination_conn_id: the Airflow Connection of the store, if the URL names none.
    :param max_items: most items in XCom; if there are more, the task fails and names ``destination`` as the way out.
    :param allow_truncated: whether a list that reached OAC's limit is worth having.
    """

    template_fields: Sequence[str] = (
        "oac_conn_id",
        "catalog_type",
        "search",
        "folder_path",
        "folder_id",
        "owned_by",
        "destination",
        "destination_conn_id",
    )

    def __init__(
        self,
        *,
        catalog_type: str | None = None,
        search: Annotated[str, EMPTY] = "*",
        folder_path: CatalogPath | None = None,
        folder_id: str | None = None,
        recursive: bool = False,
        owned_by: str | None = None,
        manage_content: bool = False,
        destination: Location | None = None,
        destination_conn_id: str | None = None,
        max_items: Number = 1000,
        allow_truncated: bool = False,
        **kwargs: Unpack[OACArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.catalog_type = catalog_type
        self.search = search
        self.folder_path = path_text(folder_path)
        self.folder_id = folder_id
        self.recursive = recursive
        self.owned_by = owned_by
        self.manage_content = manage_content
        self.destination = path_text(destination)
        self.destination_conn_id = destination_conn_id
        self.max_items = max_items
        self.allow_truncated = allow_truncated

    def execute(self, context: Context) -> list[dict[str, Any]] | dict[str, Any]:
        """List."""
        self._push_link(context)
        source = self._source()
        if self.destination:
            return self._written(source, self.destination, context)
        found = self.hook.run(lazy.paging.collected(source, self.max_items + 1))
        if len(found) > self.max_items:
            raise OACConfigurationError(
                f"More than {self.max_items} items were found, too many for XCom. Set destination to a file for them, "
                "narrow the list, or raise max_items."
            )
        self.log.info("Found %d items.", len(found))
        return [item.to_dict() for item in found]

    def _source(self) -> Source[CatalogItem]:
        """The items that are meant; a type, an owner and a name are compared here, too."""
        words = "" if self.search == "*" else self.search.casefold()
        items = self._listed()
        return lambda api: (
            item
            async for item in items(api)
            if self.catalog_type in (None, item.type)
            and self.owned_by in (None, item.owner)
            and words in item.name.casefold()
        )

    def _listed(self) -> Source[CatalogItem]:
        plan = lazy.paging.PagePlan(allow_truncated=self.allow_truncated)
        words, manage = self.search or "*", self.manage_content or None
        if self.folder_path is None and self.folder_id is None:
            if self.recursive:
                raise OACConfigurationError("recursive=True needs a folder: give folder_path or folder_id.")
            listing = lazy.catalog.list_items(self.catalog_type, search=words, manage_content=manage)
            return lambda api: listing.each(api, plan)
        folders = lazy.ids.FOLDERS
        folder_id = lazy.ids.item_id(item_id=self.folder_id, path=self.folder_path, what="the folder")
        if self.recursive:
            # Folders on the way must be listed whatever they are called.
            below = lazy.catalog_search.below
            return lambda api: below(api, folders, folder_id, plan, manage_content=self.manage_content)
        listing = lazy.catalog.list_children(folders, folder_id, search=words, manage_content=manage)
        return lambda api: listing.each(api, plan)

    def _written(self, source: Source[CatalogItem], url: str, context: Context) -> dict[str, Any]:
        sink = sink_of(url, self.destination_conn_id, TaskKey.of(context))
        done = self.hook.run(lazy.writers.write_json_lines(source, sink))
        self.log.info("Wrote %d items to %s: %d bytes, SHA-256 %s.", done.lines, url, done.size, done.sha256)
        return {"path": url, "items": done.lines, "size": done.size, "sha256": done.sha256}


class OACCreateFolderOperator(OACBaseOperator):
    """Makes sure that a folder is there: creates it, with the folders above it, unless it exists.

    The result (XCom) is a dictionary as :class:`OACListCatalogOperator` has it, and ``created``.

    :param path: path of the folder, such as ``/@Catalog/shared/Sales/2026``.
    :param create_parents: whether missing folders above are created, too.
    """

    template_fields: Sequence[str] = ("oac_conn_id", "path")

    def __init__(self, *, path: CatalogPath, create_parents: bool = True, **kwargs: Unpack[OACArguments]) -> None:
        super().__init__(**kwargs)
        self.path = path_text(path)
        self.create_parents = create_parents

    def execute(self, context: Context) -> dict[str, Any]:
        """Create it."""
        place = lazy.ids.split_path(lazy.ids.catalog_id(self.path))
        if place is None:
            raise OACConfigurationError(f"{self.path!r} is not a folder path such as /@Catalog/shared/Sales/2026.")
        self._push_link(context)
        done = self.hook.run(lazy.submit.submit_once(lazy.catalog_changes.NewFolder(*place, self.create_parents)))
        became = "already existed" if done.done_before else "was created"
        self.log.info("Folder %s %s.", lazy.ids.shown(done.item.id), became)
        return {**done.item.to_dict(), "created": not done.done_before}


class OACCopyCatalogItemOperator(PlacingOperator):
    """Copies an item of the catalog, a folder with everything in it.

    A retry after a try whose answer got lost finds the copy that was made and does not fail for it.

    The result (XCom) is a dictionary as :class:`OACListCatalogOperator` has it, of the copy, and ``done_before``:
    whether an earlier try had made it.
    """

    done = "was copied to"

    def wanted(self, item_id: str, place: Place, suspect: bool) -> Submission[Any, Arranged]:
        """What puts it there."""
        return lazy.catalog_changes.Copy(self.catalog_type, item_id, place, suspect=suspect)


class OACMoveCatalogItemOperator(PlacingOperator):
    """Moves or renames an item of the catalog.

    OAC does not move connections, datasets, data flows, sequences, scripts and models (documented): for these the task
    fails before it asks OAC. A retry after a try whose answer got lost finds the item where it was moved to.

    The result (XCom) is a dictionary as :class:`OACListCatalogOperator` has it, of the item in its new place, and
    ``done_before``: whether an earlier try had moved it.
    """

    done = "was moved to"

    def wanted(self, item_id: str, place: Place, suspect: bool) -> Submission[Any, Arranged]:
        """What puts it there."""
        return lazy.catalog_changes.Move(self.catalog_type, item_id, place, suspect=suspect)


class OACDeleteFolderOperator(OACBaseOperator):
    """Deletes a folder of the catalog. OAC keeps nothing of it: only a restore of the whole instance brings it back.

    A folder that is not empty is refused before OAC is asked, unless ``recursive`` is set. The folders that hold
    everybody's content (``/@Catalog/shared``, ``/@Catalog/users``) are refused in any case.

    The result (XCom) is a dictionary: ``path``, ``deleted`` (whether it was there).

    :param path: path of the folder, such as ``/@Catalog/shared/Sales/2024``; or
    :param folder_id: its id as lists return it.
    :param recursive: whether everything below it is deleted as well.
    :param missing_ok: whether a folder that is not there is as good as deleted. If not, the task fails without a retry.
        A retry takes it so in any case, since the try before may have deleted it.
    """

    template_fields: Sequence[str] = ("oac_conn_id", "path", "folder_id")

    def __init__(
        self,
        *,
        path: CatalogPath | None = None,
        folder_id: str | None = None,
        recursive: bool = False,
        missing_ok: bool = False,
        **kwargs: Unpack[OACArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.path = path_text(path)
        self.folder_id = folder_id
        self.recursive = recursive
        self.missing_ok = missing_ok

    def execute(self, context: Context) -> dict[str, Any]:
        """Delete it."""
        folder_id = lazy.ids.item_id(item_id=self.folder_id, path=self.path, what="the folder")
        shown, path = lazy.ids.shown(folder_id), lazy.ids.plain_id(folder_id) or folder_id
        missing_ok = self.missing_ok or TaskKey.of(context).repeats(self.retries or 0)
        self._push_link(context)
        try:
            gone = self.hook.run(
                lazy.catalog_changes.delete_folder(folder_id, recursive=self.recursive, missing_ok=missing_ok)
            )
        except OACApiError as error:
            if error.method == "GET" and error.status == 404:
                raise AirflowFailException(f"{error} missing_ok=True treats this as success.") from error
            raise
        self.log.info("Folder %s %s.", shown, "was deleted" if gone else "does not exist")
        return {"path": path, "deleted": gone}


class OACChangeOwnerOperator(ItemOperator):
    """Gives an item of the catalog to another owner, or all that somebody owns below a folder.

    Needs the permission *Manage Content* (documented), which BI Service Administrator holds. Connections, datasets,
    data flows and sequences lie in no folder: each of them is handed over by itself.

    The result (XCom) is a dictionary: ``changed`` (how many items), ``paths`` (the first hundred of them), ``owner``.

    :param new_owner: user id of the new owner, or name of the application role.
    :param account_type: ``User`` or ``ApplicationRole``.
    :param recursive: of a folder, whether everything below is given away, too.
    :param only_owner: only items of this owner. With ``recursive`` it hands over what somebody leaves behind there.
    :param manage_content: look as a content manager, also at what others keep to themselves. Without it, what the
        Connection's user may not see keeps its owner, and nothing says so.
    :param max_parallel: how many requests run side by side.
    """

    template_fields: Sequence[str] = (*ItemOperator.template_fields, "new_owner", "account_type", "only_owner")

    def __init__(
        self,
        *,
        new_owner: str,
        account_type: Annotated[str, OneOf(("User", "ApplicationRole"))] = "User",
        recursive: bool = False,
        only_owner: str | None = None,
        manage_content: bool = True,
        max_parallel: Number = 4,
        **kwargs: Unpack[ItemArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.new_owner = new_owner
        self.account_type = account_type
        self.recursive = recursive
        self.only_owner = only_owner
        self.manage_content = manage_content
        self.max_parallel = max_parallel

    def execute(self, context: Context) -> dict[str, Any]:
        """Change it."""
        item_id = self.checked_id()
        self._push_link(context)
        changed, paths = self.hook.run(
            lazy.catalog_changes.change_owners(
                self.catalog_type,
                item_id,
                self.new_owner,
                self.account_type,
                recursive=self.recursive,
                only_owner=self.only_owner,
                manage_content=self.manage_content,
                limit=self.max_parallel,
            )
        )
        self.log.info("Gave %d items to %s %s.", changed, self.account_type, self.new_owner)
        return {"changed": changed, "paths": paths, "owner": self.new_owner}
