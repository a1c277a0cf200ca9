"""SQL on OAC's semantic model and datasets, through its MCP endpoint: only what reads.

Source of the facts in this package, unless one says otherwise: Oracle's pages on the MCP server (documented), and what
others saw on live instances (observed).
"""

from airflow_provider_oac.client.sql.queries import Rows, pages, query
from airflow_provider_oac.client.sql.session import McpSession
from airflow_provider_oac.client.sql.sources import (
    DataColumn,
    DataSource,
    datasets,
    describe,
    read_workbook,
    subject_areas,
)

__all__ = [
    "DataColumn", "DataSource", "McpSession", "Rows", "datasets", "describe", "pages", "query", "read_workbook",
    "subject_areas",
]  # fmt: skip
