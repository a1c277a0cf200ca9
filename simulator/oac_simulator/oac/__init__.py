"""The simulated OAC instances: one module per area of the REST API, registered in `app.AREAS`."""
