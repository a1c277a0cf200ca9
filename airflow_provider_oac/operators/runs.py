"""Operators that reload datasets and run data flows and sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from airflow_provider_oac import lazy
from airflow_provider_oac.operators.run_base import RunningArguments, RunningOperator

if TYPE_CHECKING:
    from airflow_provider_oac.client.calls import Call
    from airflow_provider_oac.client.rest.jobs import Runnable

__all__ = ["OACReloadDatasetOperator", "OACRunDataFlowOperator", "OACRunSequenceOperator"]


class OACReloadDatasetOperator(RunningOperator):
    """Reloads the cached data of a dataset, so that workbooks show what the warehouse holds now.

    OAC reloads only datasets that are built on a connection, with at least one table that is cached automatically; not
    those made from files (documented). Needs DV Content Author (documented).

    Everything else is as :class:`~airflow_provider_oac.operators.run_base.RunningOperator` says: waiting, retries, what
    happens if it is running already, and the result.

    :param dataset: its plain id: ``'owner'.'name'``, with the quotes; or
    :param dataset_id: its id as lists return it, already encoded.
    """

    template_fields: Sequence[str] = ("oac_conn_id", "dataset", "dataset_id")

    def __init__(
        self, *, dataset: str | None = None, dataset_id: str | None = None, **kwargs: Unpack[RunningArguments]
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.dataset_id = dataset_id

    def object_id(self) -> str:
        """Id of the dataset."""
        return lazy.ids.item_id(item_id=self.dataset_id, path=self.dataset, what="the dataset")

    def runnable(self, object_id: str) -> Runnable:
        """The dataset."""
        return lazy.datasets.runnable(object_id)

    def starting(self, object_id: str) -> Call[str]:
        """The call that reloads it."""
        return lazy.datasets.reload(object_id)


class OACRunDataFlowOperator(RunningOperator):
    """Runs a data flow, as it was saved or with a source, a target or an Essbase cube replaced for this run.

    Needs DV Content Author (documented). Everything else is as
    :class:`~airflow_provider_oac.operators.run_base.RunningOperator` says: waiting, retries, what happens if it is
    running already, and the result.

    :param data_flow: its plain id: ``'owner'.'name'``, with the quotes; or
    :param data_flow_id: its id as lists return it, already encoded.
    :param override: what to replace, in the words of OAC's REST API:
        ``{"type": "source", "parameterName": "P_SOURCE", "datasetId": "'jane'.'Sales 2026'"}``, ``"type": "target"``
        alike, or ``"type": "cube"`` with ``appParameterName``, ``appName``, ``cubeParameterName`` and ``cubeName``. The
        parameter must be one of the data flow's. How several are replaced at once is not established; a dictionary
        without ``type`` is sent as it is.
    """

    template_fields: Sequence[str] = ("oac_conn_id", "data_flow", "data_flow_id", "override")

    def __init__(
        self,
        *,
        data_flow: str | None = None,
        data_flow_id: str | None = None,
        override: Mapping[str, Any] | None = None,
        **kwargs: Unpack[RunningArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.data_flow = data_flow
        self.data_flow_id = data_flow_id
        self.override = override

    def object_id(self) -> str:
        """Id of the data flow."""
        return lazy.ids.item_id(item_id=self.data_flow_id, path=self.data_flow, what="the data flow")

    def runnable(self, object_id: str) -> Runnable:
        """The data flow."""
        return lazy.data_flows.runnable(object_id)

    def starting(self, object_id: str) -> Call[str]:
        """The call that runs it."""
        return lazy.data_flows.run(object_id, self.override or None)


class OACRunSequenceOperator(RunningOperator):
    """Runs a sequence as it was saved.

    Needs DV Content Author (documented). Everything else is as
    :class:`~airflow_provider_oac.operators.run_base.RunningOperator` says: waiting, retries, what happens if it is
    running already, and the result.

    :param sequence: its plain id: ``'owner'.'name'``, with the quotes; or
    :param sequence_id: its id as lists return it, already encoded.
    """

    template_fields: Sequence[str] = ("oac_conn_id", "sequence", "sequence_id")

    def __init__(
        self, *, sequence: str | None = None, sequence_id: str | None = None, **kwargs: Unpack[RunningArguments]
    ) -> None:
        super().__init__(**kwargs)
        self.sequence = sequence
        self.sequence_id = sequence_id

    def object_id(self) -> str:
        """Id of the sequence."""
        return lazy.ids.item_id(item_id=self.sequence_id, path=self.sequence, what="the sequence")

    def runnable(self, object_id: str) -> Runnable:
        """The sequence."""
        return lazy.sequences.runnable(object_id)

    def starting(self, object_id: str) -> Call[str]:
        """The call that runs it."""
        return lazy.sequences.run(object_id)
