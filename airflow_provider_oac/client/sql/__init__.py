"""Read-only SQL on OAC's semantic model and datasets, through its MCP endpoint.

Sources of the facts in this package, unless noted otherwise: Oracle's pages on the MCP server (documented), and what
others saw on live instances (observed).
"""

from airflow_provider_oac.client.sql.files import write_file
from airflow_provider_oac.client.sql.queries import FreshData, Rows, pages, query
from airflow_provider_oac.client.sql.session import McpSession
from airflow_provider_oac.client.sql.sources import datasets, describe, read_workbook, subject_areas
from airflow_provider_oac.client.sql.statement import read_statement

__all__ = [
    "FreshData", "McpSession", "Rows", "datasets", "describe", "pages", "query", "read_statement", "read_workbook",
    "subject_areas", "write_file",
]  # fmt: skip
