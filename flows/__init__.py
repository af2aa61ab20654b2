"""Prefect flows: they schedule, distribute and retry the verbs. DVC owns the graph and the cache."""

import os

# Prefect reads these when it is first imported.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

POOL = "foalnet-pool"
