"""Run the commands as ``python -m airflow_provider_oac``, which works on every Airflow version."""

from airflow_provider_oac.cli.parser import main

if __name__ == "__main__":
    main()
