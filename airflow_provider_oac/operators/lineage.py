"""What a task tells Airflow of what it made: asset events, and lineage where OpenLineage is installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_oac._compat import BaseOperator, Context


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


def tell(operator: BaseOperator, context: Context, made: Sequence[Made]) -> None:
    """Put facts into the events of the task's outlets, which Airflow sends when the task succeeds.

    An outlet that is an asset gets one event, with the facts in its ``extra`` (of several things: as ``files``). An
    outlet that is an alias gets an event for the asset of each thing that was made.

    :param operator: whose ``outlets`` count.
    :param made: what it made.
    """
    operator.__dict__["_oac_made"] = tuple(made)
    accessors = context.get("outlet_events")
    if not made or accessors is None:
        return
    from airflow_provider_oac._compat import asset_alias_class, asset_class

    whole: dict[str, Any] = (
        made[0].extra if len(made) == 1 else {"files": [{"uri": item.uri, **item.extra} for item in made]}
    )
    for outlet in operator.outlets:
        if isinstance(outlet, asset_class()):
            accessors[outlet].extra = {**accessors[outlet].extra, **whole}
        elif isinstance(outlet, asset_alias_class()):
            for item in made:
                accessors[outlet].add(asset_class()(item.uri), extra=item.extra)


def lineage(operator: BaseOperator) -> Any:
    """What OpenLineage is told when the task succeeded; called by its provider only.

    :returns: its ``OperatorLineage``; ``None`` if nothing was made.
    """
    made: tuple[Made, ...] = operator.__dict__.get("_oac_made", ())
    if not made:
        return None
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import Dataset

    from airflow_provider_oac.assets import openlineage_name

    def datasets(uris: Sequence[str]) -> list[Any]:
        names = [openlineage_name(uri) for uri in dict.fromkeys(uris)]
        return [Dataset(namespace=namespace, name=name) for namespace, name in names]

    read, written = zip(*(item.flow for item in made), strict=True)
    return OperatorLineage(inputs=datasets(read), outputs=datasets(written))
