"""Edits params.yaml: adds a corpus' entry, and keeps `runs` in step with variants, seeds and protocols."""

from __future__ import annotations

import difflib
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from foalnet.artifact.gitrepo import untracked
from foalnet.cli.new_entry import NewEntry
from foalnet.config.deployments import PREFECT_FILE, read_deployments
from foalnet.config.form import params_bytes, params_document
from foalnet.config.load import (
    DEFAULT_PARAMS,
    File,
    definitions,
    expected_runs,
    merge,
    parse_file,
    read_file,
    resolve,
    runs_of,
)
from foalnet.config.settings import SETTINGS_FILE, load_settings
from foalnet.core.errors import UsageError
from foalnet.core.files import json_bytes, publish_bytes
from foalnet.core.paths import HEADLINE
from foalnet.corpora.named import named_split

# An empty table of sides: every dialogue follows the corpus' rule.
NO_SIDES = b"# dialogue speaker side: read where shards.sides is table (docs/staging.md)\n"


def add(entry: NewEntry, *, write: bool) -> Iterator[str]:
    """Write entry, root, source file and deployment; yield the changes as a diff, line by line."""
    read_file()
    load_settings()
    source, table = Path("data") / f"{entry.name}.source.json", sides_table_of(entry.name)
    params = params_document(DEFAULT_PARAMS)
    if entry.name in params["corpora"] and params["corpora"][entry.name]["reader"] != entry.reader:
        raise UsageError(
            f"corpus '{entry.name}' exists already, with reader {params['corpora'][entry.name]['reader']}",
            file=DEFAULT_PARAMS,
            action="give another name: --name NAME, or remove that entry and run `foalnet config --sync`",
        )
    params["corpora"][entry.name] = _block_of(entry, source=source, sides_table=table)
    _sync_runs(params)
    settings = (_yaml(SETTINGS_FILE) if SETTINGS_FILE.exists() else None) or CommentedMap()
    settings["roots"] = (settings.get("roots") or {}) | {entry.name: str(entry.root)}
    prefect = _with_deployment(entry.name)
    note = {"corpus": entry.name, "note": "what `inventory` depends on in git; the root is a machine setting"}
    changed = params_bytes(params)
    parse_file(changed.decode(), DEFAULT_PARAMS)
    changes = [(DEFAULT_PARAMS, changed), (SETTINGS_FILE, _dump(settings)), (source, json_bytes(note))]
    # An existing table stays: it may hold entries that were made by hand.
    changes += [] if table.exists() else [(table, NO_SIDES)]
    changes += [(PREFECT_FILE, prefect)] if prefect is not None else []
    different = False
    for path, data in changes:
        before = path.read_bytes() if path.exists() else b""
        different |= before != data
        yield from difflib.unified_diff(
            before.decode().splitlines(), data.decode().splitlines(), f"a/{path}", f"b/{path}", lineterm=""
        )
        if write and before != data:
            publish_bytes(path, data)
    yield from entry.notes
    if not write:
        yield "nothing was written (--dry-run)" if different else "nothing to change"
        return
    lacking = list(lacking_here(entry.name))
    yield from lacking
    if new := untracked(Path(), [source.as_posix(), table.as_posix()]):
        also = " ".join(str(path) for path, _ in changes if path not in (SETTINGS_FILE, source, table))
        yield f"before a flow runs it: git add {' '.join(new)} {also} (`git commit -a` leaves new files out)"
    following = "next: the commands above, then dvc repro" if lacking else "next: dvc repro"
    yield following if different or lacking else "nothing to change"


def _block_of(entry: NewEntry, *, source: Path, sides_table: Path) -> dict[str, Any]:
    """Return the entry's block in params.yaml."""
    preset = merge(entry.preset, {"train": {"epochs": entry.epochs} if entry.epochs else {}})
    return {
        "reader": entry.reader,
        "source": source.as_posix(),
        "sides_table": sides_table.as_posix(),
        **({"table": entry.table} if entry.table is not None else {}),
        "variants": entry.variants,
        "seeds": entry.seeds,
        "protocols": preset.get("protocols", [HEADLINE]),
        "manifest": {"classes": _flow(entry.classes), "contract": preset.get("contract"), **preset.get("manifest", {})},
        "shards": preset.get("shards", {}),
        "features": preset.get("features", {}),
        "train": preset["train"],
        "methods": preset.get("methods", {}),
        "evaluate": {},
        "report": preset.get("report", {}),
        "final": _flow(final_of(entry.variants, entry.seeds)),
    }


def lacking_here(name: str) -> Iterator[str]:
    """Yield the weights that an entry needs and this machine lacks, each with the command that fetches them."""
    from foalnet.checks.doctor import CHECKS, context_of
    from foalnet.checks.doctor.base import run_check

    context = context_of(name, remote=False)
    for check in ("weights", "encoders"):
        for finding in run_check(check, CHECKS[check], context):
            if finding.level == "fault":
                yield f"not on this machine yet: {finding.message}\n  next: {finding.mend}"


def _with_deployment(name: str) -> bytes | None:
    """Return prefect.yaml with deployments of the corpus, copied from the first corpus'; None without the file."""
    if not PREFECT_FILE.exists():
        return None
    read_deployments(PREFECT_FILE)
    prefect = _yaml(PREFECT_FILE)
    deployments = prefect["deployments"]
    there = {d["entrypoint"] for d in deployments if d["name"] == name}
    for model in [d for d in deployments if d["name"] == deployments[0]["name"] and d["entrypoint"] not in there]:
        import copy

        new = copy.deepcopy(model)
        new["name"] = name
        new["parameters"] = {**new.get("parameters", {}), "corpus": name}
        deployments.append(new)
    return _dump(prefect)


def sync(path: Path) -> Iterator[str]:
    """Rewrite `runs`; remove results of runs that are gone from the working tree (DVC's cache keeps them)."""
    read_file(path)
    params = params_document(path)
    _sync_runs(params)
    before, after = path.read_bytes(), params_bytes(params)
    yield from difflib.unified_diff(
        before.decode().splitlines(), after.decode().splitlines(), f"a/{path}", f"b/{path}", lineterm=""
    )
    if before != after:
        publish_bytes(path, after)
    for name in [path.parent / entry["sides_table"] for entry in params["corpora"].values()]:
        if not name.exists():
            publish_bytes(name, NO_SIDES)
            yield f"wrote {name}: it has no exceptions from the side rule; commit it"
    for folder in stale_runs(path):
        shutil.rmtree(folder)
        yield f"removed {folder}: no longer among the runs (DVC's cache keeps what was recorded)"
    yield "params.yaml is in step"


def stale_runs(path: Path = DEFAULT_PARAMS) -> list[Path]:
    """Return folders of runs that params no longer name; `report` depends on their parent folder."""
    file = read_file(path)
    wanted = {(run.corpus, run.name) for run in file.runs.values()}
    return [
        folder
        for corpus in file.corpora
        for folder in sorted((path.parent / "reports" / corpus / "runs").glob("*"))
        if folder.is_dir() and (corpus, folder.name) not in wanted
    ]


def check_runs(path: Path = DEFAULT_PARAMS) -> None:
    """Raise UsageError (exit 2) if `runs`, `final` or a named split do not fit corpora, variants, seeds, classes."""
    file = read_file(path)
    actual = {name: run.model_dump() for name, run in file.runs.items()}
    expected = expected_runs(file)
    stale = [folder.as_posix() for folder in stale_runs(path)]
    unspelled = [
        f"{name}.{key}"
        for name, each in file.corpora.items()
        for key in ("protocols", "sides_table")
        if key not in each.model_fields_set
    ]
    wrong = sorted(set(actual) ^ set(expected)) or sorted(n for n in actual if actual[n] != expected[n])
    unspelled += [
        f"corpora.{run['corpus']}.methods.{run['method']}"
        for run in expected.values()
        if run["method"] not in file.corpora[run["corpus"]].methods
    ]
    wrong += [*stale, *dict.fromkeys(unspelled)]
    if not wrong:
        _check_finals(file, path)
        for corpus in file.corpora:
            named_split(resolve(file, corpus))
        return
    raise UsageError(
        f"`runs` is not in step with variants, seeds, protocols and train.encoders: {', '.join(wrong)}",
        file=path,
        action="run `foalnet config --sync`",
    )


def _check_finals(file: File, path: Path) -> None:
    """Raise UsageError for an entry without a `final` that is one of its runs: dvc.yaml uses it in paths."""
    for name, entry in file.corpora.items():
        spelled = "final" in entry.model_fields_set
        if not spelled or entry.final.variant not in entry.variants or entry.final.seed not in entry.seeds:
            raise UsageError(
                f"corpora.{name}.final names no run of this corpus; it trains {', '.join(entry.variants)} "
                f"with seeds {', '.join(map(str, entry.seeds))}",
                file=path,
                action="correct it, or run `foalnet config --sync`",
            )


def sides_table_of(corpus: str) -> Path:
    """Return the default path of an entry's table of sides."""
    return Path("data") / f"{corpus}.sides.txt"


def final_of(variants: list[str], seeds: list[int]) -> dict[str, Any]:
    """Return an entry's default `final`: foal, else the last variant, with the first seed."""
    return {"variant": "foal" if "foal" in variants else variants[-1], "seed": seeds[0]}


def _sync_runs(params: Any) -> None:
    runs = CommentedMap()
    variants = json.loads(json.dumps(params.get("variants") or {}))
    for corpus, entry in params["corpora"].items():
        # dvc.yaml refers to every entry's protocols as a param, so the entry must have them.
        entry.setdefault("protocols", [HEADLINE])
        # dvc.yaml also refers to its table of sides, as a dependency.
        entry.setdefault("sides_table", sides_table_of(corpus).as_posix())
        final = entry.get("final") or {}
        if final.get("variant") not in entry["variants"] or final.get("seed") not in entry["seeds"]:
            entry["final"] = _flow(final_of(list(entry["variants"]), list(entry["seeds"])))
        wanted = (entry["variants"], entry["seeds"], entry["protocols"])
        train = definitions(variants, {**(params.get("train") or {}), **(entry.get("train") or {})})
        if "methods" not in entry:
            entry.insert(list(entry).index("train") + 1, "methods", CommentedMap())
        for name, item in runs_of(corpus, *wanted, train=train).items():
            # dvc.yaml refers to the entry's params of each method that it trains.
            entry["methods"].setdefault(item["method"], _flow({}))
            run = CommentedMap(item)
            run.fa.set_flow_style()
            runs[name] = run
    params["runs"] = runs


def _round_trip() -> YAML:
    yaml = YAML()
    yaml.width = 120
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _yaml(path: Path) -> Any:
    return _round_trip().load(path.read_text("utf-8"))


def _dump(document: Any) -> bytes:
    stream = io.StringIO()
    _round_trip().dump(document, stream)
    return stream.getvalue().encode()


def _flow(value: Any) -> Any:
    """Return a mapping that YAML writes on one line, where it fits."""
    node = _round_trip().load(_dump({"x": value}).decode())["x"]
    node.fa.set_flow_style()
    return node
