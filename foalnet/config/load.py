"""Reads params.yaml, checks all of it, and resolves the params of one corpus."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path, PurePath
from typing import Annotated, Any, get_args

from pydantic import Field, PrivateAttr, create_model

from foalnet.config import blocks, tuning
from foalnet.config.base import Frozen, line_in, nearest, validated
from foalnet.config.draw import Draw
from foalnet.config.probing import Probe
from foalnet.config.space import check_space
from foalnet.config.studies import Study
from foalnet.config.variants import HALF, VARIANTS, Modality, Variant
from foalnet.config.yamls import parse_yaml, read_text
from foalnet.core.errors import UsageError
from foalnet.core.paths import HEADLINE, Paths, run_name

DEFAULT_PARAMS = Path("params.yaml")
# The name of a corpus is part of the names of its folders, runs, stages and branches.
NAME = re.compile(r"[a-z][a-z0-9_]*")
# The blocks that an entry may override.
ENTRY_BLOCKS = ("shards", "features", "train", "evaluate", "report", "gate", "tune")


class Entry(Frozen):
    """One corpus in params.yaml: its reader, source and classes, and its overrides of the blocks."""

    reader: str = Field(description="name in the corpus registry")
    source: str = Field(description="what `inventory` depends on: the drawn corpus, or a small committed file")
    sides_table: str = Field("", description="the file for `sides: table`: small and committed; must be stated")
    table: str | None = Field(None, description="reader table: the corpus' own table, relative to its root")
    variants: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[list[blocks.Seed], Field(min_length=1)]
    protocols: list[blocks.Protocol] = Field(
        default=[HEADLINE], description="loso_dev_session and any other protocols to report"
    )
    manifest: dict[str, Any]
    shards: dict[str, Any]
    features: dict[str, Any] = Field(default_factory=dict)
    train: dict[str, Any]
    methods: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="method -> params that replace those of the block `methods`"
    )
    evaluate: dict[str, Any]
    report: dict[str, Any]
    gate: dict[str, Any] = Field(default_factory=dict)
    tune: dict[str, Any] = Field(default_factory=dict)
    final: blocks.Final = Field(blocks.Final(), description="the run that gives the deployed model; must be stated")


# The corpus that the stage `draw` writes.
DRAWN = "drawn"


class Run(Frozen):
    """One training run: an item of the stages `train` and `evaluate` in dvc.yaml."""

    corpus: str
    variant: str
    method: str = Field("", description="the variant's method")
    seed: blocks.Seed
    split: blocks.Split = "dev"
    name: str = Field("", description="name of the run's folders")
    audio: str = Field("", description="dependency for the audio encoder: another run's model, or an index")
    video: str = Field("", description="dependency for the video encoder")
    text: str = Field("", description="dependency for the text encoder")


class File(Frozen):
    """The content of params.yaml."""

    _text: str | None = PrivateAttr(None)
    corpora: dict[str, Entry]
    runs: dict[str, Run] = Field(
        default_factory=dict, description="corpora x variants x seeds x splits, written by `foalnet config --sync`"
    )
    studies: dict[str, Study] = Field(default_factory=dict, description="comparisons of many runs (docs/study.md)")
    probe: dict[str, Probe] = Field(default_factory=dict, description="corpora whose runs are probed (docs/probe.md)")
    draw: Draw = Draw()
    shards: dict[str, Any] = Field(default_factory=dict)
    features: dict[str, Any] = Field(default_factory=dict)
    train: dict[str, Any] = Field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict, description="method -> its params")
    variants: dict[str, Variant] = Field(
        default_factory=lambda: dict(VARIANTS), description="what can be trained: name -> definition"
    )
    evaluate: dict[str, Any] = Field(default_factory=dict)
    report: dict[str, Any] = Field(default_factory=dict)
    gate: dict[str, Any] = Field(default_factory=dict)
    tune: dict[str, Any] = Field(default_factory=dict)


class Params(Frozen):
    """Everything that can change the results of one corpus: the blocks' defaults < params.yaml < the entry."""

    corpus: str
    reader: str
    source: str
    sides_table: str = ""
    table: str | None = None
    variants: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[list[blocks.Seed], Field(min_length=1)]
    protocols: list[blocks.Protocol] = Field(default=[HEADLINE])
    draw: Draw
    manifest: blocks.Manifest
    shards: blocks.Shards
    features: blocks.Features = blocks.Features()
    train: blocks.Train
    evaluate: blocks.Evaluate
    report: blocks.Report
    gate: blocks.Gate = blocks.Gate()
    tune: tuning.Tune = tuning.Tune()
    final: blocks.Final = blocks.Final()

    @property
    def drawn_here(self) -> bool:
        """Return whether the stage `draw` writes the corpus' files."""
        return self.corpus == DRAWN


# The blocks of params.yaml before overrides: a wrong value is an error even if every entry overrides it.
_Blocks: type[Frozen] = create_model(
    "_Blocks",
    __base__=Frozen,
    **{name: (Params.model_fields[name].annotation, ...) for name in ENTRY_BLOCKS},  # type: ignore[call-overload]
)


def read_file(path: Path = DEFAULT_PARAMS) -> File:
    """Read params.yaml and check every key (UsageError, exit 2, names the nearest valid key)."""
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        raise UsageError("there is no params file here", file=path, action="run in the project folder") from error
    return parse_file(text, path)


def parse_file(text: str, path: Path) -> File:
    """Parse and check the text of a params file as `read_file` does; `path` is its present or future place."""
    data = parse_yaml(text, path)
    if not isinstance(data, dict):
        raise UsageError(
            "the params file holds no params" if text.strip() else "the params file is empty",
            file=path,
            action=f"`git checkout -- {path.name}` restores the committed file",
        )
    file = validated(File, data, file=path, text=text)
    file._text = text
    _check_places(file, path)
    validated(_Blocks, {name: getattr(file, name) for name in ENTRY_BLOCKS}, file=path, text=text)
    for corpus in sorted(file.probe.keys() - file.corpora.keys()):
        what = f"probe.{corpus}: no corpus '{corpus}'; {nearest(corpus, file.corpora)}"
        raise UsageError(what, file=path, action="name an entry of `corpora`")
    for corpus in file.corpora:
        check_name(corpus, path)
        resolve(file, corpus, path=path)
    return file


# Keys that stand elsewhere than below `train` -> the place.
ELSEWHERE = {
    "methods": "the block `methods`",
    "variants": "the block `variants`",
    "fusion": "methods.foal and methods.single",
    "objective": "methods.foal",
}


def _check_places(file: File, path: Path) -> None:
    """Raise UsageError (exit 2) for params of methods or definitions of variants below `train`."""
    trains = {"train": file.train} | {f"corpora.{name}.train": entry.train for name, entry in file.corpora.items()}
    for where, block in trains.items():
        for key in ELSEWHERE.keys() & block.keys():
            raise UsageError(
                f"{where}.{key}: unknown key; its params belong to {ELSEWHERE[key]}",
                file=path,
                action="move them (an entry overrides them in its own block `methods`)",
            )


def check_name(corpus: str, path: Path = DEFAULT_PARAMS) -> None:
    """Raise UsageError (exit 2) if `corpus` is not a valid name of a corpus."""
    if not NAME.fullmatch(corpus):
        raise UsageError(
            f"'{corpus}' cannot name a corpus: use lower-case letters, digits and _, and start with a letter",
            file=path,
            action="give the corpus another name (`add-corpus`: --name NAME)",
        )


def load_params(corpus: str, path: Path = DEFAULT_PARAMS) -> Params:
    """Return the checked params of one corpus.

    >>> params = load_params("drawn")
    >>> list(params.manifest.classes), params.shards.rate_hz
    (['happy', 'neutral', 'sad', 'angry'], 16000)
    """
    return resolve(read_file(path), corpus, path=path)


def resolve(file: File, corpus: str, *, path: Path = DEFAULT_PARAMS) -> Params:
    """Return the params of one corpus: the file's blocks with the entry's overrides, validated."""
    if corpus not in file.corpora:
        raise UsageError(
            f"no corpus '{corpus}'; {nearest(corpus, file.corpora)}",
            file=path,
            action="see `foalnet add-corpus --help`",
        )
    entry = file.corpora[corpus]
    merged: dict[str, Any] = {
        "corpus": corpus,
        "reader": entry.reader,
        "table": entry.table,
        "source": entry.source,
        "sides_table": entry.sides_table,
        "variants": entry.variants,
        "seeds": entry.seeds,
        "protocols": entry.protocols,
        "draw": file.draw,
        "manifest": entry.manifest,
        "final": entry.final,
    }
    for block in ENTRY_BLOCKS:
        merged[block] = merge(getattr(file, block), getattr(entry, block))
    # In memory the params of methods and the definitions of variants are part of `train`.
    merged["train"] |= {"methods": merge(file.methods, entry.methods), "variants": file.variants}
    # An entry's search space replaces the one of the block; a mixture of the two was never intended.
    merged["tune"] |= {name: value for name, value in entry.tune.items() if name == "space"}
    below = (("corpora", corpus), ())
    params = validated(Params, merged, file=f"{path} (corpora.{corpus})", text=file._text, below=below)
    _check_variants(params, file=f"{path} (corpora.{corpus})", text=file._text)
    _check(params, file=f"{path} (corpora.{corpus})")
    return params


def _check(params: Params, *, file: str) -> None:
    """Raise UsageError (exit 2) for params that contradict each other, such as half pictures for a feature table."""
    if HEADLINE not in params.protocols or len(set(params.protocols)) != len(params.protocols):
        raise UsageError(
            f"protocols: {', '.join(params.protocols) or 'none'}: {HEADLINE} is required, and each may occur only once",
            file=file,
            action=f"write protocols: [{', '.join(blocks.PROTOCOLS)}], or [{HEADLINE}] alone (docs/protocols.md)",
        )
    for name in ("variants", "seeds"):
        given = getattr(params, name)
        if len(set(given)) != len(given):
            action = f"write each of the {name} once"
            raise UsageError(f"{name}: {', '.join(map(str, given))}: one occurs twice", file=file, action=action)
    steps = (params.train.frame_step, params.features.frame_step)
    if params.features.encoder and params.train.picture == "features" and steps[0] % steps[1]:
        raise UsageError(
            f"train.frame_step is {steps[0]}, but only every {steps[1]}-th frame has features",
            file=file,
            action="set train.frame_step to a multiple of features.frame_step",
        )
    check_space(params.tune, params.train, file=file)
    if PurePath(params.sides_table).is_absolute() or ".." in PurePath(params.sides_table).parts:
        raise UsageError(
            f"sides_table: {params.sides_table} is outside the project, where git and DVC cannot track it",
            file=file,
            action=f"write sides_table: data/{params.corpus}.sides.txt, and put the file there",
        )
    for name, of in (("sides", "dialogues in it (docs/staging.md)"), ("face", "faces in it (docs/faces.md)")):
        if getattr(params.shards, name) == "table" and not params.sides_table:
            raise UsageError(
                f"shards.{name} is table, but the corpus' entry names no sides_table",
                file=file,
                action=f"write sides_table: data/{params.corpus}.sides.txt, and list the {of}",
            )
    if params.shards.face != "largest" and params.shards.roi:
        raise UsageError(
            f"shards.face is {params.shards.face}, which compares all faces, but shards.roi is {params.shards.roi:g}: "
            "the detector searches around one",
            file=file,
            action="set shards.roi: 0",
        )
    for variant in params.variants:
        lacking = set(blocks.encoders_from(variant, params.train).values()) - set(params.variants)
        if lacking:
            raise UsageError(
                f"train.encoders is single: variant {variant} takes its encoders from {', '.join(sorted(lacking))}, "
                "which this corpus does not train",
                file=file,
                action=f"add {', '.join(sorted(lacking))} to variants and run `foalnet config --sync`, or set "
                "train.encoders: own",
            )
    half = [variant for variant in params.variants if params.train.variants[variant].picture == "half"]
    if half and params.train.picture == "features":
        raise UsageError(
            f"variants: {', '.join(half)}: they need half pictures, but this corpus has a feature table instead of "
            "pictures (train.picture: features)",
            file=file,
            action=f"remove them from variants, or write them without {HALF}",
        )


def _check_variants(params: Params, *, file: str, text: str | None) -> None:
    """Raise UsageError (exit 2) for a name of a variant that no definition has."""
    named: dict[tuple[str | int, ...], str] = {("final", "variant"): params.final.variant}
    named |= {("gate", "variant"): params.gate.variant}
    named |= {("variants", place): name for place, name in enumerate(params.variants)}
    named |= {
        ("report", "compare", i, j): name for i, each in enumerate(params.report.compare) for j, name in enumerate(each)
    }
    named |= {("tune", "variants", place): name for place, name in enumerate(params.tune.variants or [])}
    for path, name in named.items():
        if name not in params.train.variants:
            key = ".".join(map(str, path))
            if text is not None:
                key += f" (line {line_in(text, path, (('corpora', params.corpus), ()))})"
            raise UsageError(
                f"{key}: no variant '{name}'; {nearest(name, params.train.variants)}",
                file=file,
                action="correct the name, or define it in the block `variants`",
            )


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return two mappings merged recursively; `over` wins, and lists and scalars are replaced as a whole.

    >>> merge({"train": {"lr": 0.1, "epochs": 9}}, {"train": {"lr": 0.2}})
    {'train': {'lr': 0.2, 'epochs': 9}}
    """
    out = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merge(out[key], value)
        else:
            out[key] = value
    return out


def expected_runs(file: File) -> dict[str, dict[str, Any]]:
    """Return the block `runs` that follows from corpora, variants, seeds and protocols, in their order."""
    runs: dict[str, dict[str, Any]] = {}
    for corpus, entry in file.corpora.items():
        runs |= runs_of(corpus, entry.variants, entry.seeds, entry.protocols, train=_train_of(file, entry))
    return runs


def _train_of(file: File, entry: Entry) -> blocks.Train:
    """Return the block `train` of an entry, as far as it names its runs."""
    return definitions(file.variants, file.train | entry.train)


def definitions(variants: Mapping[str, Any], train: Mapping[str, Any]) -> blocks.Train:
    """Return a block `train` with these variants and the `encoders` of a block of params.yaml; the rest are defaults.

    UsageError (exit 2) if a definition is wrong.
    """
    known = {"variants": variants} if variants else {}
    encoders = {"encoders": train["encoders"]} if "encoders" in train else {}
    return validated(blocks.Train, {**known, **encoders}, file=DEFAULT_PARAMS)


def runs_of(
    corpus: str, variants: Sequence[str], seeds: Sequence[int], protocols: Sequence[str], *, train: blocks.Train
) -> dict[str, dict[str, Any]]:
    """Return the runs of one corpus by name; protocols with the same split share one run.

    `audio` and `video` are paths that the stage `train` depends on: the model of the run that provides the encoder
    (`encoders`: single), else an index that the stage reads anyway.

    >>> list(runs_of("drawn", ["foal"], [1, 2], ["loso_dev_session"], train=blocks.Train()))
    ['drawn-foal-s1', 'drawn-foal-s2']
    """
    paths = Paths(corpus)
    splits = {blocks.SPLIT_OF[protocol] for protocol in protocols}
    runs: dict[str, dict[str, Any]] = {}
    for variant, seed, split in product(variants, seeds, [split for split in blocks.SPLITS if split in splits]):
        name = run_name(variant, seed, split)
        singles = blocks.encoders_from(variant, train)
        takes = dict.fromkeys(get_args(Modality), paths.shards / "index.json")
        takes |= {"video": paths.features / "index.json", "text": paths.features / "text" / "index.json"}
        takes |= {modality: paths.model(single, seed, split) for modality, single in singles.items()}
        runs[f"{corpus}-{name}"] = {
            "corpus": corpus, "variant": variant, "method": train.variant(variant).method,
            "seed": seed, "split": split, "name": name,
            **{modality: path.as_posix() for modality, path in takes.items()},
        }  # fmt: skip
    return runs
