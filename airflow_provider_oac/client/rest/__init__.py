"""OAC's REST API: one module for each area, with its calls and models."""
