"""Apache Airflow provider for Oracle Analytics Cloud (OAC)."""

__version__ = "0.1.0"
