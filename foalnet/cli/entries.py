"""Edits params.yaml: adds a corpus' entry, and keeps `runs` in step with variants, seeds and protocols."""

from __future__ import annotations

import difflib
import io
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from foalnet.artifact.gitrepo import untracked
from foalnet.config.deployments import PREFECT_FILE, read_deployments
from foalnet.config.form import params_bytes, params_document
from foalnet.config.load import (
    DEFAULT_PARAMS,
    DRAWN,
    File,
    check_name,
    definitions,
    expected_runs,
    merge,
    parse_file,
    read_file,
    runs_of,
)
from foalnet.config.presets import preset_entry
from foalnet.config.settings import SETTINGS_FILE, load_settings
from foalnet.config.variants import MAIN_VARIANTS, Variant
from foalnet.core.errors import MachineError, UsageError, reason
from foalnet.core.faults import fault_of
from foalnet.core.files import json_bytes, publish_bytes
from foalnet.core.paths import HEADLINE

PICTURES = ("video", "features")
# Params of a corpus without pictures: no features of pictures.
SOUND_ALONE = {"train": {"picture": "face"}, "features": {"encoder": None}}
# Params of a corpus with video where the reader's preset expects a table of features.
FILMED = {"train": {"picture": "face", "frame_step": 6, "video": {"encoder": "crop_cnn"}}}
# An empty table of sides: every dialogue follows the corpus' rule.
NO_SIDES = b"# dialogue speaker side: read where shards.sides is table (docs/staging.md)\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class NewEntry:
    """The checked options of `add-corpus`."""

    reader: str
    root: Path
    table: str | None
    name: str
    classes: dict[str, list[str]]
    variants: list[str]
    seeds: list[int]
    epochs: int | None
    preset: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def parse(
        cls,
        *,
        reader: str,
        root: str,
        table: str | None,
        name: str | None,
        classes: str | None,
        variants: str | None,
        seeds: str | None,
        epochs: int | None,
        preset: str | None,
    ) -> NewEntry:
        """Check every option before anything is written (UsageError, exit 2; MachineError, exit 4, for the root)."""
        from foalnet.corpora import get_reader
        from foalnet.corpora.inventory import survey, unused_lines
        from foalnet.stages.inventory import absent_parts
        from foalnet.stages.manifest.build import check_classes

        folder = folder_of(root)
        table = table_below(folder, table) if table is not None else None
        kind = get_reader(reader, table=table)
        name = name or reader
        check_name(name)
        if name == DRAWN:
            what = f"'{DRAWN}' is the corpus that `foalnet draw` draws: no other entry may have this name"
            raise UsageError(what, file=DEFAULT_PARAMS, action="give another name: --name NAME")
        top = kind.check_root(folder)
        chosen = parse_classes(classes, kind.class_presets, kind.default_classes)
        check_classes(chosen, kind, action="correct --classes")
        listed = survey(top, kind)
        pictured = any(role in PICTURES for role in listed.roles.values())
        base = merge(kind.entry_preset, preset_entry(preset, reader)) if preset else kind.entry_preset
        if not pictured:
            base = merge(base, SOUND_ALONE)
        elif "features" not in listed.roles.values() and reads_a_table(base):
            base = merge(base, FILMED)
        notes = [*absent_parts(listed.roles, kind), *unused_lines(listed.ignored(), listed.named())]
        notes += getattr(kind, "notes", [])
        if not pictured:
            notes.append("no pictures here (neither video nor a table of features): only audio_only is trained")
        try:
            numbers = list(dict.fromkeys(int(s) for s in seeds.split(","))) if seeds else base.get("seeds", [1])
        except ValueError as error:
            raise UsageError(
                f"--seeds needs whole numbers, got '{seeds}'", action="for example --seeds 1,2,3"
            ) from error
        return cls(
            reader=reader,
            root=folder,
            table=table,
            name=name,
            classes=chosen,
            variants=variants_of(variants, read_file().variants, pictured=pictured),
            seeds=numbers,
            epochs=epochs,
            preset=base,
            notes=notes,
        )


def reads_a_table(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry takes its pictures from the corpus' own table of features."""
    encoder = (entry.get("features") or {}).get("encoder")
    return encoder is None and (entry.get("train") or {}).get("picture") == "features"


def table_below(root: Path, table: str) -> str:
    """Return the path of a table relative to the root; UsageError (exit 2) if it is not a file below it."""
    for place in (Path(table).expanduser(), root / table):
        if place.is_file() and place.resolve().is_relative_to(root):
            return place.resolve().relative_to(root).as_posix()
    there = "is outside of the root" if Path(table).expanduser().is_file() else "is not a file"
    raise UsageError(f"the table {there}", file=table, action=f"put the table into {root}, next to what it names")


def folder_of(root: str) -> Path:
    """Return the folder that --root names (MachineError, exit 4, where it does not exist).

    UsageError (exit 2) for a name that is not UTF-8: settings.yaml is text and could not hold it.
    """
    try:
        folder = Path(root).expanduser().resolve()
        there = folder.is_dir()
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            "the corpus root's name is not UTF-8", file=root, action="make a link to it with a plain name and give that"
        ) from error
    except (OSError, RuntimeError) as error:
        raise fault_of(error) or MachineError(
            f"the corpus root cannot be found: {reason(error)}", file=root, action="mount it, or correct --root"
        ) from error
    if not there:
        raise MachineError("the corpus root is not a folder", file=folder, action="mount it, or correct --root")
    return folder


def variants_of(text: str | None, known: Mapping[str, Variant], *, pictured: bool) -> list[str]:
    """Return the checked variants of --variants (UsageError, exit 2); by default those that the corpus can train."""
    if text is None:
        return list(MAIN_VARIANTS) if pictured else ["audio_only"]
    names = list(dict.fromkeys(v.strip() for v in text.split(",") if v.strip()))
    if not names:
        raise UsageError("an entry needs at least one variant", action=f"--variants {','.join(known)}")
    for variant in names:
        if variant not in known:
            raise UsageError(f"no variant '{variant}'; valid: {', '.join(known)}", action="correct --variants")
    seeing = [variant for variant in names if "video" in known[variant].inputs]
    if seeing and not pictured:
        raise UsageError(
            f"{', '.join(seeing)}: no pictures here; the root holds neither readable video nor a table of features",
            action="--variants audio_only, or add the pictures first",
        )
    return names


def parse_classes(text: str | None, presets: dict[str, list[str]], default: list[str]) -> dict[str, list[str]]:
    """Parse "neutral,happy=hap+exc" into class -> raw labels; a name without `=` takes its labels from the presets."""
    items = list(default) if text is None else list(presets) if text == "all" else text.split(",")
    classes: dict[str, list[str]] = {}
    for item in (w.strip() for w in items):
        label, _, raws = item.partition("=")
        if not raws and label not in presets:
            raise UsageError(
                f"no class '{label}'; this reader has {', '.join(presets)}",
                action="correct --classes, or spell the raw labels: name=raw1+raw2",
            )
        if label in classes:
            raise UsageError(f"class '{label}' is named twice", action="correct --classes")
        classes[label] = raws.split("+") if raws else list(presets[label])
    if len(classes) < 2:
        raise UsageError("an experiment needs at least two classes", action="correct --classes")
    return classes


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
    preset = merge(entry.preset, {"train": {"epochs": entry.epochs} if entry.epochs else {}})
    params["corpora"][entry.name] = {
        "reader": entry.reader,
        "source": source.as_posix(),
        "sides_table": table.as_posix(),
        **({"table": entry.table} if entry.table is not None else {}),
        "variants": entry.variants,
        "seeds": entry.seeds,
        "protocols": preset.get("protocols", [HEADLINE]),
        "manifest": {"classes": _flow(entry.classes), "contract": preset.get("contract")},
        "shards": preset.get("shards", {}),
        "features": preset.get("features", {}),
        "train": preset["train"],
        "methods": preset.get("methods", {}),
        "evaluate": {},
        "report": {},
        "final": _flow(final_of(entry.variants, entry.seeds)),
    }
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
    """Raise UsageError (exit 2) if `runs` or `final` do not fit corpora, variants and seeds."""
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
