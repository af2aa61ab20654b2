"""What the deployments need of the server: the work pool, made without a look at the internet, and a rule.

`prefect work-pool create --type process` has the server ask GitHub for a list of worker types; creating the pool
through the client does not. The rule: a run that falls silent has crashed (flows.alive). Run as `python -m flows.pool`.
"""

from __future__ import annotations

import sys

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.workers.process import ProcessWorker

from flows.alive import make_automation
from foalnet.config import load_settings

POOL = "foalnet-pool"


def create_pool(name: str = POOL) -> None:
    """Create or renew a process work pool on the server that PREFECT_API_URL names."""
    pool = WorkPoolCreate(name=name, type="process", base_job_template=ProcessWorker.get_default_base_job_template())
    with get_client(sync_client=True) as client:
        client.create_work_pool(pool, overwrite=True)


if __name__ == "__main__":
    create_pool()
    silence_s = load_settings().silence_s
    make_automation(silence_s)
    sys.stdout.write(f"work pool {POOL} is ready; a run without a sign of life for {silence_s:g} s is called crashed\n")
