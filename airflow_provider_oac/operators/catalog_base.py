"""What the operators for one item of the catalog share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Required, Unpack

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import AirflowFailException
from airflow_provider_oac.arguments import CatalogPath, path_text
from airflow_provider_oac.exceptions import OACApiError, OACConfigurationError, OACTakenError
from airflow_provider_oac.operators.base import OACArguments, OACBaseOperator
from airflow_provider_oac.operators.task_state import TaskState

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.flows.catalog_changes import Arranged, Place
    from airflow_provider_oac.client.flows.submit import Submission


class ItemArguments(OACArguments, total=False):
    """Arguments of all operators that work on one item of the catalog."""

    catalog_type: Required[str]
    path: CatalogPath | None
    item_id: str | None


class ItemOperator(OACBaseOperator):
    """Works on one item of the catalog.

    :param catalog_type: type of the item, such as ``workbooks`` or ``folders``.
    :param path: its path, such as ``/@Catalog/shared/Sales/Board``, or a pair ``'owner'.'name'``; or
    :param item_id: its id as lists return it.
    """

    template_fields: Sequence[str] = ("oac_conn_id", "catalog_type", "path", "item_id")

    def __init__(
        self,
        *,
        catalog_type: str,
        path: CatalogPath | None = None,
        item_id: str | None = None,
        **kwargs: Unpack[OACArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.catalog_type = catalog_type
        self.path = path_text(path)
        self.item_id = item_id

    def checked_id(self) -> str:
        """The id of the item.

        :raises OACConfigurationError: unless exactly one of path and id is given.
        """
        return lazy.ids.item_id(item_id=self.item_id, path=self.path, what="the item")


class PlacingOperator(ItemOperator):
    """Puts an item somewhere else.

    :param to_folder_path: path of the folder it goes into; or
    :param to_folder_id: its id as lists return it; by default the folder that it is in.
    :param new_name: its name there; by default the one that it has.
    :param overwrite: whether an item that is there is replaced. If not, one that is there fails the task without a
        retry.
    :param create_folders: whether missing folders on the way are created.
    """

    template_fields: Sequence[str] = (*ItemOperator.template_fields, "to_folder_path", "to_folder_id", "new_name")
    done = ""

    def __init__(
        self,
        *,
        to_folder_path: CatalogPath | None = None,
        to_folder_id: str | None = None,
        new_name: str | None = None,
        overwrite: bool = False,
        create_folders: bool = False,
        **kwargs: Unpack[ItemArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.to_folder_path = path_text(to_folder_path)
        self.to_folder_id = to_folder_id
        self.new_name = new_name
        self.overwrite = overwrite
        self.create_folders = create_folders

    def execute(self, context: Context) -> dict[str, Any]:
        """Put it there, unless an earlier try has."""
        memory = TaskState(context, fingerprint=self._fingerprint)
        memory.claim()
        suspect = memory.suspect(self.retries or 0)
        item_id, place = self.checked_id(), self._place()
        self._push_link(context)
        try:
            wanted = self.wanted(item_id, place, suspect)
            done = self.hook.run(lazy.submit.submit_once(wanted, memory.attempts()))
        except OACTakenError as error:
            # Without a retry: that one would take what is there for the work of this try.
            raise AirflowFailException(str(error)) from error
        except OACApiError as error:
            if error.method == "GET" and lazy.catalog_search.is_missing(error, self.catalog_type):
                raise AirflowFailException(str(error)) from error
            raise
        self.log.info("%s %s %s %s.", self.catalog_type, self.path or item_id, self.done, lazy.ids.shown(done.item.id))
        return {**done.item.to_dict(), "done_before": done.done_before}

    def _place(self) -> Place:
        folder = None
        if self.to_folder_path is not None or self.to_folder_id is not None:
            folder = lazy.ids.item_id(
                item_id=self.to_folder_id, path=self.to_folder_path, what="the folder it goes into"
            )
        elif not self.new_name:
            raise OACConfigurationError(
                "No destination given. Set to_folder_path, to_folder_id, new_name, or a folder and a name. If one "
                "comes from a template, check what it renders to."
            )
        return lazy.catalog_changes.Place(folder, self.new_name or None, self.overwrite, self.create_folders)

    @abstractmethod
    def wanted(self, item_id: str, place: Place, suspect: bool) -> Submission[Any, Arranged]:
        """What puts it there.

        :param suspect: whether an earlier try may have done so.
        """
