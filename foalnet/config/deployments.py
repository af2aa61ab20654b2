"""prefect.yaml: the deployments that `add-corpus` writes and the flows bring to a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foalnet.config.yamls import read_yaml
from foalnet.core.errors import UsageError

PREFECT_FILE = Path("prefect.yaml")


def deployments_of(path: Path) -> list[dict[str, Any]]:
    """Return the deployments of a file that is there (UsageError, exit 2, where it lists none)."""
    data = read_yaml(path)
    found = data.get("deployments") if isinstance(data, dict) else None
    if not isinstance(found, list) or not found or not all(_is_deployment(each) for each in found):
        raise UsageError(
            "it lists no deployments, each with a name, an entrypoint and parameters",
            file=path,
            action=f"`git checkout -- {path.name}` brings back what was committed",
        )
    return found


def _is_deployment(each: Any) -> bool:
    texts = isinstance(each, dict) and all(isinstance(each.get(name), str) for name in ("name", "entrypoint"))
    return texts and isinstance(each.get("parameters", {}), dict)
