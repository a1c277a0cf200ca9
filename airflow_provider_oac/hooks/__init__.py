"""Hooks: they reach OAC through an Airflow Connection."""
