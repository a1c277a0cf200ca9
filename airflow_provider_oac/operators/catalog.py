"""Operators for the catalog: list items, create and delete folders, copy and move items, change owners."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import AirflowFailException, Context
from airflow_provider_oac.arguments import EMPTY, CatalogPath, Location, Number, OneOf, Template, path_text
from airflow_provider_oac.exceptions import OACApiError, OACConfigurationError, OACTakenError
from airflow_provider_oac.operators.base import OACBaseOperator
from airflow_provider_oac.operators.task_state import TaskKey, TaskState


class ItemOperator(OACBaseOperator):
    """Base class of the operators that work on one item of the catalog.

    :param catalog_type: type of the item, such as ``workbooks`` or ``folders``.
    :param path: its path, such as ``/@Catalog/shared/Sales/Board``, or a pair ``'owner'.'name'``; or
    :param item_id: its id as lists return it.
    """

    catalog_type: Template[str]
    path: Template[CatalogPath | None] = None
    item_id: Template[str | None] = None

    def checked_id(self) -> str:
        """The id of the item.

        :raises OACConfigurationError: unless exactly one of path and id is given.
        """
        return lazy.ids.item_id(item_id=self.item_id, path=path_text(self.path), what="the item")


class PlacingOperator(ItemOperator):
    """Base class of the operators that copy or move an item.

    :param to_folder_path: path of the target folder; or
    :param to_folder_id: its id as lists return it; by default the folder that the item is in.
    :param new_name: name of the item in the target folder; by default its present name.
    :param overwrite: whether to replace an item that exists in the target. If not, the task fails without a retry.
    :param create_folders: whether to create missing folders of the target path.
    """

    # The class of the change in `lazy.catalog_changes`, and the words for it in the log.
    change: ClassVar[str]
    done: ClassVar[str]

    to_folder_path: Template[CatalogPath | None] = None
    to_folder_id: Template[str | None] = None
    new_name: Template[str | None] = None
    overwrite: bool = False
    create_folders: bool = False

    def execute(self, context: Context) -> dict[str, Any]:
        """Copy or move the item, unless an earlier try already has."""
        state = TaskState(context, fingerprint=self._fingerprint)
        state.claim()
        suspect = state.suspect(self.retries or 0)
        item_id, place = self.checked_id(), self._place()
        self._push_link(context)
        try:
            change = getattr(lazy.catalog_changes, self.change)(self.catalog_type, item_id, place, suspect=suspect)
            done: lazy.catalog_changes.Arranged = self.hook.run(lazy.submit.submit_once(change, state.attempts()))
        except OACTakenError as error:
            # Without a retry, which would assume that this try put the item there.
            raise AirflowFailException(str(error)) from error
        except OACApiError as error:
            if error.method == "GET" and lazy.catalog_search.is_missing(error, self.catalog_type):
                raise AirflowFailException(str(error)) from error
            raise
        self.log.info("%s %s %s %s.", self.catalog_type, self.path or item_id, self.done, lazy.ids.shown(done.item.id))
        return {**done.item.to_dict(), "done_before": done.done_before}

    def _place(self) -> lazy.catalog_changes.Place:
        folder = None
        if self.to_folder_path is not None or self.to_folder_id is not None:
            folder = lazy.ids.item_id(
                item_id=self.to_folder_id, path=path_text(self.to_folder_path), what="the folder it goes into"
            )
        elif not self.new_name:
            raise OACConfigurationError(
                "No destination given. Set to_folder_path, to_folder_id or new_name. If one comes from a template, "
                "check what it renders to."
            )
        return lazy.catalog_changes.Place(folder, self.new_name or None, self.overwrite, self.create_folders)


class OACListCatalogOperator(OACBaseOperator):
    """Lists or searches the catalog: the whole catalog, the items in a folder, or everything below it.

    The result (XCom) is a list of dictionaries: ``path`` (or the pair ``'owner'.'name'``), ``type``, ``name``,
    ``owner``, ``description``, ``last_modified``, ``id`` and ``parent_id`` (encoded, for other calls and operators).
    With a ``destination``, the task writes them there as JSON lines, and the result is a dictionary: ``path``,
    ``items`` (how many), ``size``, ``sha256``.

    OAC lists at most 10,000 items (documented). A list that reaches this limit fails the task, unless
    ``allow_truncated`` is set. While OAC builds its search index, as after a restore, the task waits.

    :param catalog_type: only items of this type, such as ``workbooks``; by default all types.
    :param search: only items whose name contains this text; ``*`` for all.
    :param folder_path: path of the folder to list, such as ``/@Catalog/shared/Sales``; or
    :param folder_id: its id as lists return it; by default the whole catalog.
    :param recursive: whether to list everything below the folder, folder by folder.
    :param owned_by: only items of this owner.
    :param manage_content: list as a content manager, including items of other owners; needs the permission *Manage
        Content*.
    :param destination: URL of a file for the list, in any store that ``ObjectStoragePath`` reaches.
    :param destination_conn_id: the Airflow Connection of the store, if the URL names none.
    :param max_items: maximum number of items in XCom. If there are more, the task fails and suggests ``destination``.
    :param allow_truncated: whether to accept an incomplete list that reached OAC's limit.
    """

    catalog_type: Template[str | None] = None
    search: Template[Annotated[str, EMPTY]] = "*"
    folder_path: Template[CatalogPath | None] = None
    folder_id: Template[str | None] = None
    recursive: bool = False
    owned_by: Template[str | None] = None
    manage_content: bool = False
    destination: Template[Location | None] = None
    destination_conn_id: Template[str | None] = None
    max_items: Number = 1000
    allow_truncated: bool = False

    def execute(self, context: Context) -> list[dict[str, Any]] | dict[str, Any]:
        """List the items."""
        self._push_link(context)
        return self._collect(self._source(), self.destination, self.destination_conn_id, self.max_items, context)

    def _source(self) -> lazy.paging.Source[lazy.catalog.CatalogItem]:
        """The items that match. Type, owner and name are also compared here, since OAC does not filter every list."""
        words = "" if self.search == "*" else self.search.casefold()
        items = self._listed()
        return lambda api: (
            item
            async for item in items(api)
            if self.catalog_type in (None, item.type)
            and self.owned_by in (None, item.owner)
            and words in item.name.casefold()
        )

    def _listed(self) -> lazy.paging.Source[lazy.catalog.CatalogItem]:
        plan = lazy.paging.PagePlan(allow_truncated=self.allow_truncated)
        words, manage = self.search or "*", self.manage_content or None
        if self.folder_path is None and self.folder_id is None:
            if self.recursive:
                raise OACConfigurationError("recursive=True needs a folder: give folder_path or folder_id.")
            listing = lazy.catalog.list_items(self.catalog_type, search=words, manage_content=manage)
            return lambda api: listing.each(api, plan)
        folders = lazy.ids.FOLDERS
        folder_id = lazy.ids.item_id(item_id=self.folder_id, path=path_text(self.folder_path), what="the folder")
        if self.recursive:
            # Not limited by the search text, which folders on the way need not contain.
            below = lazy.catalog_search.below
            return lambda api: below(api, folders, folder_id, plan, manage_content=self.manage_content)
        listing = lazy.catalog.list_children(folders, folder_id, search=words, manage_content=manage)
        return lambda api: listing.each(api, plan)


class OACCreateFolderOperator(OACBaseOperator):
    """Creates a folder, with the folders above it, unless it exists.

    The result (XCom) is a dictionary as in :class:`OACListCatalogOperator`, with ``created``.

    :param path: path of the folder, such as ``/@Catalog/shared/Sales/2026``.
    :param create_parents: whether to create missing folders above it as well.
    """

    path: Template[CatalogPath]
    create_parents: bool = True

    def execute(self, context: Context) -> dict[str, Any]:
        """Create the folder, unless it exists."""
        place = lazy.ids.split_path(lazy.ids.catalog_id(path_text(self.path)))
        if place is None:
            raise OACConfigurationError(f"{self.path!r} is not a folder path such as /@Catalog/shared/Sales/2026.")
        self._push_link(context)
        done = self.hook.run(lazy.submit.submit_once(lazy.catalog_changes.NewFolder(*place, self.create_parents)))
        what = "already existed" if done.done_before else "was created"
        self.log.info("Folder %s %s.", lazy.ids.shown(done.item.id), what)
        return {**done.item.to_dict(), "created": not done.done_before}


class OACCopyCatalogItemOperator(PlacingOperator):
    """Copies an item of the catalog. A folder is copied with everything in it.

    If the response to an earlier try was lost, a retry accepts the copy that it made.

    The result (XCom) is a dictionary of the copy as in :class:`OACListCatalogOperator`, with ``done_before``: whether
    an earlier try made the copy.
    """

    change, done = "Copy", "was copied to"


class OACMoveCatalogItemOperator(PlacingOperator):
    """Moves or renames an item of the catalog.

    OAC does not move connections, datasets, data flows, sequences, scripts and models (documented): for these the task
    fails before it calls OAC. If the response to an earlier try was lost, a retry accepts the item in the target.

    The result (XCom) is a dictionary of the moved item as in :class:`OACListCatalogOperator`, with ``done_before``:
    whether an earlier try moved it.
    """

    change, done = "Move", "was moved to"


class OACDeleteFolderOperator(OACBaseOperator):
    """Deletes a folder of the catalog for good: only a restore of the whole instance brings it back.

    The task refuses a folder that is not empty, unless ``recursive`` is set. It always refuses the folders that contain
    all content (``/@Catalog/shared``, ``/@Catalog/users``).

    The result (XCom) is a dictionary: ``path``, ``deleted`` (whether it existed).

    :param path: path of the folder, such as ``/@Catalog/shared/Sales/2024``; or
    :param folder_id: its id as lists return it.
    :param recursive: whether to delete everything below it as well.
    :param missing_ok: whether the task succeeds if the folder does not exist. If not, it fails without a retry. A retry
        always accepts a missing folder, since an earlier try may have deleted it.
    """

    path: Template[CatalogPath | None] = None
    folder_id: Template[str | None] = None
    recursive: bool = False
    missing_ok: bool = False

    def execute(self, context: Context) -> dict[str, Any]:
        """Delete the folder."""
        folder_id = lazy.ids.item_id(item_id=self.folder_id, path=path_text(self.path), what="the folder")
        shown, path = lazy.ids.shown(folder_id), lazy.ids.plain_id(folder_id) or folder_id
        missing_ok = self.missing_ok or TaskKey.of(context).repeats(self.retries or 0)
        self._push_link(context)
        delete = lazy.catalog_changes.delete_folder(folder_id, recursive=self.recursive, missing_ok=missing_ok)
        try:
            gone = self.hook.run(delete)
        except OACApiError as error:
            if error.method == "GET" and error.status == 404:
                raise AirflowFailException(f"{error} missing_ok=True treats this as success.") from error
            raise
        self.log.info("Folder %s %s.", shown, "was deleted" if gone else "does not exist")
        return {"path": path, "deleted": gone}


class OACChangeOwnerOperator(ItemOperator):
    """Changes the owner of an item of the catalog, or of all items of one owner below a folder.

    Needs the permission *Manage Content* (documented), which BI Service Administrator includes. Connections, datasets,
    data flows and sequences are in no folder: change the owner of each of them separately.

    The result (XCom) is a dictionary: ``changed`` (how many items), ``paths`` (the first hundred of them), ``owner``.

    :param new_owner: user id of the new owner, or name of the application role.
    :param account_type: ``User`` or ``ApplicationRole``.
    :param recursive: whether to change everything below a folder as well.
    :param only_owner: change only items of this owner, such as a user who has left.
    :param manage_content: list as a content manager, including items that the user may not see otherwise. Without it,
        such items keep their owner, and OAC does not report them.
    :param max_parallel: how many requests run in parallel.
    """

    new_owner: Template[str]
    account_type: Template[Annotated[str, OneOf(("User", "ApplicationRole"))]] = "User"
    recursive: bool = False
    only_owner: Template[str | None] = None
    manage_content: bool = True
    max_parallel: Number = 4

    def execute(self, context: Context) -> dict[str, Any]:
        """Change the owner."""
        item_id = self.checked_id()
        self._push_link(context)
        change = lazy.catalog_changes.change_owners(
            self.catalog_type, item_id, self.new_owner, self.account_type, recursive=self.recursive,
            only_owner=self.only_owner, manage_content=self.manage_content, limit=self.max_parallel,
        )  # fmt: skip
        changed, paths = self.hook.run(change)
        self.log.info("Gave %d items to %s %s.", changed, self.account_type, self.new_owner)
        return {"changed": changed, "paths": paths, "owner": self.new_owner}
