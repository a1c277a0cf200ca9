"""From an Airflow Connection to OAC."""
