"""The gate: everything that stands between the coordinator and the records of a site."""
