"""Sensor for an item of the catalog."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_oac import lazy
from airflow_provider_oac.arguments import CatalogPath, Template, path_text
from airflow_provider_oac.sensors.base import OACWatchingSensor
from airflow_provider_oac.triggers.oac import OACCatalogItemTrigger


class OACCatalogItemSensor(OACWatchingSensor):
    """Waits until an item of the catalog exists, or until it was modified at or after a given time.

    The sensor reads the item by its id, which needs no search index. It waits out temporary errors, such as those of an
    instance that restarts. ``timeout``, ``soft_fail``, ``never_fail`` and ``silent_fail`` mean the same in the
    triggerer as in a worker.

    The result (XCom) is a dictionary as in :class:`~airflow_provider_oac.operators.catalog.OACListCatalogOperator`.

    :param catalog_type: type of the item, such as ``workbooks``.
    :param path: its path, such as ``/@Catalog/shared/Sales/Board``, or a pair ``'owner'.'name'``; or
    :param item_id: its id as lists return it.
    :param modified_since: earliest time of the last modification: a datetime, or a text in ISO 8601 such as
        ``{{ data_interval_start }}``; UTC if it has no zone. By default the existence of the item is enough.
    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    :param deferrable: whether to wait in the triggerer; by default Airflow's ``[operators] default_deferrable``.
        If not, ``mode`` decides.
    """

    catalog_type: Template[str]
    path: Template[CatalogPath | None] = None
    item_id: Template[str | None] = None
    modified_since: Template[datetime | str | None] = None

    watched_by = OACCatalogItemTrigger

    def result(self, item: Any) -> Any:
        """The item as a dictionary."""
        return item.to_dict()

    def wanted(self) -> lazy.catalog_watch.WantedItem:
        """The item."""
        since = self.modified_since
        text = since.isoformat() if isinstance(since, datetime) else since
        wanted = lazy.catalog_watch.WantedItem(
            self.catalog_type, lazy.ids.item_id(item_id=self.item_id, path=path_text(self.path), what="the item"), text
        )
        # Parse the time here, so a mistake is an error before the sensor defers.
        wanted.since()
        return wanted
