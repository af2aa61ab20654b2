"""Audits predictions of any system: what is wrong with them, and what they score. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from foalnet.audit import checks, folds, score
from foalnet.audit.base import Case, Check, lines
from foalnet.audit.build import case_of
from foalnet.audit.read import read_columns
from foalnet.audit.reference import Reference, of_corpus, of_file
from foalnet.audit.roles import wanted_of
from foalnet.audit.table import Predictions, table_of
from foalnet.core.errors import UsageError

__all__ = ["audit", "faults", "of_corpus", "of_file", "wanted_of"]

SCHEMA = 1
CHECKS = (
    checks.rows_of_manifest,
    checks.labels,
    checks.agreement,
    checks.class_order,
    checks.constant,
    checks.copied,
    checks.shuffled,
    folds.speakers,
    folds.sessions,
    folds.named_splits,
)


def audit(
    files: Sequence[Path],
    *,
    reference: Reference | None = None,
    classes: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    epoch: int | None = None,
) -> dict[str, Any]:
    """Return the facts of one file of predictions, or of two and their paired difference, as JSON has them.

    `classes`: their order in the columns of probabilities and class numbers; `columns`: role -> column, for files that
    have it. UsageError (exit 2) and DataError (exit 3) as of `read_columns`, `table_of` and `case_of`.
    """
    read = [read_columns(file) for file in files]
    wanted = dict(columns or {})
    names = [{role: name for role, name in wanted.items() if _has(each.cells, name)} for each in read]
    for role, name in wanted.items():
        if not any(role in own for own in names):
            raise UsageError(f"no column `{name}`", file=files[0], action=f"its columns are {', '.join(read[0].cells)}")
    cases, facts, shown = [], list[dict[str, Any]](), _names(files)
    for each, own in zip(read, names, strict=True):
        table = table_of(each, own, classes, reference)
        case, made = case_of(table, epoch)
        cases.append(case)
        facts.append(_facts(table, case, made) | {"file": shown[len(facts)]})
    paired = score.paired(*cases) if len(cases) == 2 else None
    return {"schema": SCHEMA, "level": score.LEVEL, "files": facts, "paired": paired}


def _names(files: Sequence[Path]) -> list[str]:
    """Return the names of files, with as many folders as tell them apart.

    >>> _names([Path("runs/a/p.csv"), Path("runs/b/p.csv")])
    ['a/p.csv', 'b/p.csv']
    """
    for parts in range(1, max(len(file.parts) for file in files) + 1):
        names = ["/".join(file.parts[-parts:]) for file in files]
        if len(set(names)) == len(names):
            return names
    return [f"{file.name} ({at})" for at, file in enumerate(files, 1)]


def _has(cells: Mapping[str, Any], name: str) -> bool:
    return name in cells or all(part.strip() in cells for part in name.split(","))


def _facts(table: Predictions, case: Case, made: Sequence[Check]) -> dict[str, Any]:
    every = [*made, *lines(check(case) for check in CHECKS)]
    return {
        "sha256": table.columns.sha256,
        "format": table.columns.form,
        "rows": len(table),
        "columns": dict(table.roles.column) | {"probabilities": list(table.roles.probabilities)},
        "ignored": [
            name for name in table.columns.cells
            if name not in table.roles.column.values() and name not in table.roles.probabilities
        ],
        "reference": table.reference.name if table.reference else None,
        "classes": list(table.order.classes),
        "order_by": table.order.source,
        "first_number": table.first,
        "scored": table.column("predicted") or "the largest probability",
        "folds": sorted(set(case.fold_N) - {""}),
        "checks": [asdict(each) | {"keys": list(each.keys)} for each in every],
        "scores": score.scores(case),
        "intervals": score.intervals(case),
        "calibration": score.calibrated(case),
    }  # fmt: skip


def faults(facts: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return file -> names of the checks that are a fault, without files that have none."""
    named = {
        each["file"]: sorted({row["name"] for row in each["checks"] if row["verdict"] == "fault"})
        for each in facts["files"]
    }
    return {file: names for file, names in named.items() if names}
