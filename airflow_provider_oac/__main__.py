"""``python -m airflow_provider_oac``: the commands, on every Airflow."""

from airflow_provider_oac.cli.parser import main

if __name__ == "__main__":
    main()
