"""The simulated identity domain (IDCS / OCI IAM)."""
