"""The command line: ``airflow oac …`` (Airflow 3.2 and later) and ``python -m airflow_provider_oac …`` (everywhere)."""
