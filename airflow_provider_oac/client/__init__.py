"""The REST API of Oracle Analytics Cloud, without Airflow: calls, models, polling, and what OAC itself lacks."""
