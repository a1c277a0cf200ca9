"""Waiting for an item of the catalog."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Unpack

from airflow_provider_oac._compat import (
    AirflowSensorTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    default_deferrable,
)
from airflow_provider_oac.arguments import CatalogPath, path_text
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.tasks import CheckedOperator, SensorArguments

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.watching import Wanted


class OACCatalogItemSensor(CheckedOperator, BaseSensorOperator):
    """Waits until an item of the catalog is there, or until it was modified since a moment.

    It is read by its id, which needs no search index. What passes, such as an instance that restarts, is waited out.
    ``timeout``, ``soft_fail``, ``never_fail`` and ``silent_fail`` mean the same in the triggerer as in a worker.

    The result (XCom) is a dictionary as :class:`~airflow_provider_oac.operators.catalog.OACListCatalogOperator` has it.

    :param catalog_type: type of the item, such as ``workbooks``.
    :param path: its path, such as ``/@Catalog/shared/Sales/Board``, or a pair ``'owner'.'name'``; or
    :param item_id: its id as lists return it.
    :param modified_since: only if it was modified then or later: a moment, or a text in ISO 8601 such as
        ``{{ data_interval_start }}``; without a zone it is in UTC. By default its existence is enough.
    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    :param deferrable: whether to wait in the triggerer; by default what the deployment says. If not, ``mode`` decides.
    """

    template_fields: Sequence[str] = ("oac_conn_id", "catalog_type", "path", "item_id", "modified_since")
    _problem: OACError | None = None

    def __init__(
        self,
        *,
        catalog_type: str,
        path: CatalogPath | None = None,
        item_id: str | None = None,
        modified_since: datetime | str | None = None,
        oac_conn_id: str = "oac_default",
        deferrable: bool | None = None,
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.catalog_type = catalog_type
        self.path = path_text(path)
        self.item_id = item_id
        self.modified_since = modified_since
        self.oac_conn_id = oac_conn_id
        self.deferrable = default_deferrable() if deferrable is None else deferrable

    def execute(self, context: Context) -> Any:
        """Wait, in the triggerer or as every sensor does."""
        if not self.deferrable:
            return super().execute(context)
        from airflow_provider_oac.client.waiting import WaitPlan
        from airflow_provider_oac.client.watching import ItemWatch
        from airflow_provider_oac.hooks.deferring import needs_no_trigger
        from airflow_provider_oac.triggers.catalog import OACCatalogItemTrigger

        wanted = self._wanted()
        plan = WaitPlan(deadline=time.time() + self.timeout, longest_pause=float(self.poke_interval))
        if needs_no_trigger(self.oac_conn_id, lambda: ItemWatch(wanted, plan)):
            return super().execute(context)
        self.defer(
            trigger=OACCatalogItemTrigger(
                self.oac_conn_id,
                wanted.kind,
                wanted.item_id,
                wanted.modified_since,
                time.time() + self.timeout,
                float(self.poke_interval),
            ),
            method_name="resume",
        )

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once. A passing failure of the look itself counts as "not yet"."""
        if problem := self._problem:
            self._problem = None
            raise problem
        from airflow_provider_oac.client.waiting import passing
        from airflow_provider_oac.client.watching import seen
        from airflow_provider_oac.hooks.oac import OACHook

        wanted = self._wanted()
        try:
            item = OACHook(self.oac_conn_id).run(seen(wanted, self.log.info))
        except OACError as error:
            if not passing(error):
                raise
            self.log.warning("%s could not be looked up; trying again: %s", wanted.text(), error)
            return PokeReturnValue(False)
        return PokeReturnValue(item is not None, item.to_dict() if item else None)

    def resume(self, context: Context, event: dict[str, Any] | None) -> Any:
        """Go on after the triggerer waited: look as every sensor does, which judges what there is."""
        from airflow_provider_oac.triggers.catalog import outcome_of

        try:
            outcome, message = outcome_of(event)
        except OACError as problem:
            # Raised where a look raises, so that never_fail and silent_fail apply to it as well.
            self._problem = problem
        else:
            if outcome == "timeout":
                raise AirflowSensorTimeout(message)
        return super().execute(context)

    def _wanted(self) -> Wanted:
        from airflow_provider_oac.client.ids import item_id
        from airflow_provider_oac.client.watching import Wanted

        since = self.modified_since
        text = since.isoformat() if isinstance(since, datetime) else since
        wanted = Wanted(self.catalog_type, item_id(item_id=self.item_id, path=self.path, what="the item"), text)
        # Here, and not in the triggerer: a mistake is told at once.
        wanted.checked()
        return wanted
