"""The page "Oracle Analytics" in Airflow's web interface (3.1 and later). Other processes load only ``plugin``."""
