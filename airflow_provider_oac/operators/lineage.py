"""Reports what a task made: in asset events, and to OpenLineage if it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_oac import _compat
from airflow_provider_oac._compat import Context
from airflow_provider_oac.assets import openlineage_dataset


@dataclass(frozen=True)
class Made:
    """A file or snapshot that a task made.

    :param uri: URI of the asset, without credentials.
    :param flow: for lineage, the URIs of the dataset that was read and the one that was written.
    :param extra: facts for the asset event, ready for JSON: size, SHA-256, ids of work requests. Never a secret.
    """

    uri: str
    flow: tuple[str, str]
    extra: dict[str, Any]


class ReportsMade:
    """Mixin of the operators that report what they made to Airflow and OpenLineage."""

    outlets: Any
    _reported: tuple[Made, ...] = ()

    def report_made(self, context: Context, made: Sequence[Made]) -> None:
        """Put facts into the events of the task's outlets, which Airflow sends when the task succeeds.

        An outlet that is an asset gets one event, with the facts in its ``extra`` (as ``files`` if the task made
        several). An outlet that is an alias gets one event for each asset that was made.

        :param made: what the task made.
        """
        self._reported = tuple(made)
        accessors = context.get("outlet_events")
        if not made or accessors is None:
            return
        extra: dict[str, Any] = {"files": [{"uri": item.uri, **item.extra} for item in made]}
        if len(made) == 1:
            extra = made[0].extra
        for outlet in self.outlets:
            if isinstance(outlet, _compat.Asset):
                accessors[outlet].extra = {**accessors[outlet].extra, **extra}
            elif isinstance(outlet, _compat.AssetAlias):
                for item in made:
                    accessors[outlet].add(_compat.Asset(item.uri), extra=item.extra)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the lineage. OpenLineage's provider calls this after the task succeeded.

        :returns: its ``OperatorLineage``; ``None`` if nothing was made.
        """
        if not self._reported:
            return None
        # An optional package, which is installed if it calls this.
        from airflow.providers.openlineage.extractors import OperatorLineage

        def datasets(side: int) -> list[Any]:
            return [openlineage_dataset(uri) for uri in dict.fromkeys(item.flow[side] for item in self._reported)]

        return OperatorLineage(inputs=datasets(0), outputs=datasets(1))
