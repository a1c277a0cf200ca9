"""A client for the REST API of Oracle Analytics Cloud that does not depend on Airflow."""
