"""Writes the results of a search: trials as JSON lines, a summary as JSON and as a page, lines for params.yaml.

It writes `summary.json` last, so that its presence means that the results are complete. Nothing in it comes from a
test part.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from foalnet.config.blocks import Choice
from foalnet.config.space import nested
from foalnet.core.files import json_bytes, jsonl_bytes, publish_bytes, sha256_file
from foalnet.core.markdown import escape
from foalnet.evidence.metrics import mean_sd, rounded
from foalnet.shards import INDEX
from foalnet.stages.train.training import run_facts
from foalnet.tune.bench import Bench
from foalnet.tune.search import Row, Searched

SCHEMA = 1
OVERRIDE = "an entry has one `train` for all its variants"


def publish(bench: Bench, searched: Sequence[Searched]) -> str:
    """Write `<variant>.jsonl`, summary.md and, last, summary.json; return a summary for the terminal."""
    out = bench.paths.tune
    stale = {path.name for path in out.glob("*.jsonl")} - {f"{each.variant}.jsonl" for each in searched}
    for name in ("summary.json", *sorted(stale)):
        (out / name).unlink(missing_ok=True)
    for each in searched:
        publish_bytes(out / f"{each.variant}.jsonl", jsonl_bytes(each.trials))
    summary = summarize(bench, searched)
    publish_bytes(out / "summary.md", page(summary, searched).encode())
    publish_bytes(out / "summary.json", json_bytes(summary))
    where = f"trials and summary: {out}"
    parts = [f"{says}\n{lines}".rstrip() for says, lines in _snippets(summary)]
    return "\n\n".join(["\n".join(_table(summary)), *parts, where])


def summarize(bench: Bench, searched: Sequence[Searched]) -> dict[str, Any]:
    """Return summary.json: the search, its data, its results, and what shapes its bytes."""
    params = bench.params
    variant, train = searched[0].variant, params.train
    facts = run_facts(train.of(variant), bench.settings, bench.given(variant, train), variant=variant)
    return {
        "schema": SCHEMA,
        "corpus": params.corpus,
        "search": params.tune.model_dump(mode="json"),
        "sampler": f"TPE of optuna, after {min(params.tune.random, params.tune.trials)} trials drawn at random",
        "scored_on": "the dev part of each fold of split dev; test parts: none",
        "variants": {each.variant: facts_of(each) for each in searched},
        "alike": alike(searched),
        "inputs": {"manifest": sha256_file(bench.paths.manifest), "shards": sha256_file(bench.paths.shards / INDEX)},
        **{name: facts[name] for name in ("code", "device", "determinism", "instructions", "processes", "threads")},
        "versions": facts["versions"] | {"optuna": importlib.metadata.version("optuna")},
    }


def facts_of(each: Searched) -> dict[str, Any]:
    """Return the facts of one variant for summary.json."""
    best = each.best
    return {
        "trials": len(each.trials),
        "failed": sum(row["state"] == "failed" for row in each.trials),
        "best": None if best is None else _point(best) | {"number": best["number"], "key": best["key"]},
        "committed": _point(each.committed),
        "best_so_far": _so_far(each.trials),
        "without_effect": list(each.without_effect),
    }


def _point(row: Row) -> dict[str, Any]:
    """Return a setting with its score: mean and spread over the folds of all its runs."""
    folds = [fold["dev_ua"] for run in row["runs"] for fold in run["folds"].values()]
    return {
        "params": row["params"],
        "dev_ua": row["dev_ua"],
        "over_folds": mean_sd(folds) if row["dev_ua"] is not None else None,
        "reason": row["reason"],
    }


def _so_far(trials: Sequence[Row]) -> list[float | None]:
    """Return the best score after each trial, None before the first successful one."""
    best: list[float | None] = []
    for row in trials:
        seen = [score for score in (row["dev_ua"], best[-1] if best else None) if score is not None]
        best.append(max(seen, default=None))
    return best


def alike(searched: Sequence[Searched]) -> dict[str, Any] | None:
    """Return the trial with the best mean over all variants, among those with the same setting for each.

    None with one variant, or if each of these trials has a failure.
    """
    best: dict[str, Any] | None = None
    for rows in zip(*(each.trials for each in searched), strict=True) if len(searched) > 1 else ():
        scores = {row["variant"]: row["dev_ua"] for row in rows}
        if any(row["params"] != rows[0]["params"] for row in rows) or None in scores.values():
            continue
        mean = rounded(sum(scores.values()) / len(scores))
        if best is None or mean > best["dev_ua"]:
            best = {"number": rows[0]["number"], "params": rows[0]["params"], "dev_ua": mean, "variants": scores}
    if best is None:
        return None
    standing = [each.committed["dev_ua"] for each in searched]
    known = [score for score in standing if score is not None]
    return best | {"committed": rounded(sum(known) / len(known)) if len(known) == len(standing) else None}


def snippet(corpus: str, values: Mapping[str, Choice]) -> str:
    """Return the lines that put a setting into a corpus' entry of params.yaml.

    >>> print(snippet("drawn", {"lr": 0.01}))
    corpora:
      drawn:
        train:
          lr: 0.01
    """
    train = nested(values)
    blocks = {"train": train} | ({"methods": train.pop("methods")} if "methods" in train else {})
    tree = {"corpora": {corpus: {name: block for name, block in blocks.items() if block}}}
    return yaml.safe_dump(tree, sort_keys=True, default_flow_style=False).rstrip()


def _snippets(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (what it is, lines for params.yaml) of each variant's best, then of the best for all alike.

    There are no lines if the params as they stand are as good. A param without effect is left out, because its values
    were never compared.
    """
    parts, variants, together = [], summary["variants"], summary["alike"]
    for name, each in variants.items():
        if each["best"] is None:
            parts.append((f"{name}: every trial failed", ""))
        elif not _better(each["best"]["dev_ua"], each["committed"]["dev_ua"]):
            parts.append((f"{name}: no trial is better than params.yaml as it stands", ""))
        else:
            affecting = _without(each["best"]["params"], each["without_effect"])
            parts.append((f"best of {name}, for params.yaml:", snippet(summary["corpus"], affecting)))
    if together is not None and _better(together["dev_ua"], together["committed"]):
        unaffected = set.intersection(*(set(each["without_effect"]) for each in variants.values()))
        says = f"best for all of them at once, of the trials that they share ({OVERRIDE}):"
        parts.append((says, snippet(summary["corpus"], _without(together["params"], unaffected))))
    elif together is not None:
        parts.append(("for all of them at once: no trial that they share is better than params.yaml as it stands", ""))
    return parts


def _better(score: float, standing: float | None) -> bool:
    return standing is None or score > standing


def _without(values: Mapping[str, Choice], names: Collection[str]) -> dict[str, Choice]:
    return {path: value for path, value in values.items() if path not in names}


def _table(summary: Mapping[str, Any]) -> list[str]:
    """Return the result for a terminal: as in params.yaml, the best trial, how many failed."""
    rows = [("variant", "params.yaml", "best trial", "number", "failed")]
    for name, each in summary["variants"].items():
        best = each["best"]
        rows.append((
            name,
            percent(each["committed"]["dev_ua"]),
            percent(best["dev_ua"] if best else None),
            f"{best['number'] if best else '-'} of {each['trials']}",
            str(each["failed"]),
        ))  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [f"{summary['corpus']}: mean dev UA over folds; no test session was scored", *lines]


def percent(share: float | None) -> str:
    """Return a score in per cent, "failed" for none."""
    return "failed" if share is None else f"{100 * share:.1f}"


def page(summary: Mapping[str, Any], searched: Sequence[Searched]) -> str:
    """Return summary.md."""
    search = summary["search"]
    lines = [
        f"# {summary['corpus']}: search of settings on dev sessions",
        "",
        f"Every variant had the same space, the same budget ({search['trials']} trials) and the same seed "
        f"({search['seed']}). Sampler: {summary['sampler']}. "
        f"Seeds of the runs: {', '.join(map(str, search['seeds']))}.",
        "A score is the mean UA over the dev parts of all folds, each at the epoch that is best on it: chosen on these "
        "very sessions it is too high, and more so the more trials there are. No test session was scored.",
        "",
        "| param of `train` | values | in params.yaml |",
        "|---|---|---|",
    ]
    committed = searched[0].committed["params"]
    lines += [
        f"| `{path}` | {escape(_values(search['space'][path]))} | {escape(_yaml_value(committed[path]))} |"
        for path in committed
    ]
    lines += [
        "",
        "| variant | params.yaml | best trial | sd over folds | number | failed |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, each in summary["variants"].items():
        best = each["best"] or {"dev_ua": None, "over_folds": None, "number": "-"}
        spread = percent(best["over_folds"]["sd"]) if best["over_folds"] else "-"
        scores = f"{percent(each['committed']['dev_ua'])} | {percent(best['dev_ua'])} | {spread}"
        lines.append(f"| {name} | {scores} | {best['number']} | {each['failed']} |")
    for each in searched:
        lines += _trials(each, summary["variants"][each.variant])
    lines += [
        "",
        "## For params.yaml",
        "",
        "Nothing was changed there. docs/method.md says how to carry a setting over.",
        "",
    ]
    for says, text in _snippets(summary):
        lines += [says, "", "```yaml", text, "```", ""] if text else [f"{says}.", ""]
    return "\n".join(lines)


def _trials(each: Searched, summary: Mapping[str, Any]) -> list[str]:
    """Return the section of one variant: every trial with the best so far, and what has no effect on it."""
    names = sorted(each.committed["params"])
    lines = ["", f"## {each.variant}", ""]
    if each.without_effect:
        paths = ", ".join(f"`{path}`" for path in each.without_effect)
        lines += [f"Drawn and without effect on this variant: {paths}.", ""]
    lines.append(f"| trial | drawn | {' | '.join(f'`{name}`' for name in names)} | dev UA | best so far |")
    lines.append(f"|--:|---|{'--:|' * len(names)}--:|--:|")
    for row, best in zip(each.trials, summary["best_so_far"], strict=True):
        values = " | ".join(escape(_yaml_value(row["params"][name])) for name in names)
        so_far = "-" if best is None else percent(best)
        lines.append(f"| {row['number']} | {row['drawn']} | {values} | {percent(row['dev_ua'])} | {so_far} |")
    failed = [f"- trial {row['number']} failed: {escape(row['reason'])}" for row in each.trials if row["reason"]]
    return [*lines, "", *failed] if failed else lines


def _values(dimension: Mapping[str, Any]) -> str:
    if dimension["choices"] is not None:
        return ", ".join(_yaml_value(choice) for choice in dimension["choices"])
    return f"{_yaml_value(dimension['low'])} to {_yaml_value(dimension['high'])}" + (
        ", log" if dimension["log"] else ""
    )


def _yaml_value(value: Choice) -> str:
    """Return a value as params.yaml writes it."""
    if isinstance(value, float):
        return f"{value:g}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
