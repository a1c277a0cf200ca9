"""The page "Oracle Analytics" in Airflow's web interface (3.1 and newer). Only ``plugin`` is loaded outside of it."""
