"""What a task made, for Airflow's assets, and for lineage where OpenLineage is installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_oac import _compat
from airflow_provider_oac.assets import openlineage_dataset
from airflow_provider_oac.operators.base import OACWorkOperator

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context


@dataclass(frozen=True)
class Made:
    """Something that a task made.

    :param uri: of the asset, without credentials.
    :param flow: for lineage, the URI of what was read and that of what was written.
    :param extra: what an event says of it, ready for JSON: size, SHA-256, ids of work requests. No secret.
    """

    uri: str
    flow: tuple[str, str]
    extra: dict[str, Any]


class LineageOperator(OACWorkOperator):
    """Makes something that Airflow and OpenLineage know."""

    _reported: tuple[Made, ...] = ()

    def report_made(self, context: Context, made: Sequence[Made]) -> None:
        """Put facts into the events of the task's outlets, which Airflow sends when the task succeeds.

        An outlet that is an asset gets one event, with the facts in its ``extra`` (of several things: as ``files``). An
        outlet that is an alias gets an event for the asset of each thing that was made.

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
        """What OpenLineage's provider asks for when the task succeeded.

        :returns: its ``OperatorLineage``; ``None`` if nothing was made.
        """
        if not self._reported:
            return None
        # An optional package, which is there when it calls this.
        from airflow.providers.openlineage.extractors import OperatorLineage

        def datasets(side: int) -> list[Any]:
            return [openlineage_dataset(uri) for uri in dict.fromkeys(item.flow[side] for item in self._reported)]

        return OperatorLineage(inputs=datasets(0), outputs=datasets(1))
