"""Reads prefect.yaml: the deployments that `add-corpus` writes and `foalnet deploy` sends to a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foalnet.config.yamls import read_yaml
from foalnet.core.errors import UsageError

PREFECT_FILE = Path("prefect.yaml")


def read_deployments(path: Path) -> list[dict[str, Any]]:
    """Return the deployments in prefect.yaml (UsageError, exit 2, if it lists none)."""
    data = read_yaml(path)
    deployments = data.get("deployments") if isinstance(data, dict) else None
    if not isinstance(deployments, list) or not deployments or not all(_is_deployment(each) for each in deployments):
        raise UsageError(
            "the file lists no deployments, each with a name, an entrypoint and parameters",
            file=path,
            action=f"`git checkout -- {path.name}` restores the committed file",
        )
    return deployments


def _is_deployment(each: Any) -> bool:
    texts = isinstance(each, dict) and all(isinstance(each.get(name), str) for name in ("name", "entrypoint"))
    return texts and isinstance(each.get("parameters", {}), dict)
