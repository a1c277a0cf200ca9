"""OAuth 2.0 at an identity domain (IDCS / OCI IAM), without OAC and without Airflow."""
