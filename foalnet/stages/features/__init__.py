"""Stage `features`: each dialogue's pictures and words through frozen encoders, once; indexes alone without any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from foalnet.artifact.speeds import read_speed
from foalnet.config import Settings
from foalnet.config.blocks import TextFeatures
from foalnet.encoders.catalogue import CATALOGUE
from foalnet.shards import INDEX, ShardEntry
from foalnet.shards.features import text_folder
from foalnet.stages.base import Context, Stage, with_folders
from foalnet.stages.chain import Chain, link
from foalnet.stages.forecast import COPIES, Forecast, free_bytes, size, speech_seconds
from foalnet.stages.link import Link, differs, first_few, mismatch, ok

if TYPE_CHECKING:
    from foalnet.stages.features.encode import Work

# No corpus with a reader has more pictures a second.
PICTURES_PER_S = 30
FLOAT_BYTES = 4
# No corpus has more tokens in an utterance on average.
TOKENS = 32


def run(context: Context) -> Iterator[str]:
    """Encode the shards' pictures and words with `features.encoder` and `features.text.encoder`; it resumes.

    If params name no encoder, it prints that and ends at once.
    """
    from foalnet.stages.features.encode import encode

    paths = context.paths
    yield f"features: {encode(context.params, context.settings, paths.shards, paths.features)}"


def forecast(context: Context) -> Forecast:
    """Return what `foalnet features` would do: the dialogues that the work cache holds no vectors of.

    Without an encoder in params that is nothing. DataError (exit 3) without shards, MachineError (exit 4) where an
    encoder's weights are not ready here.
    """
    from foalnet.stages.features.encode import parts_of, work_of

    params, settings, shards = context.params, context.settings, context.paths.shards
    works = [
        work_of(block, params.corpus, settings, shards) for _, block, _ in parts_of(params, context.paths.features)
    ]
    verb, free = f"features {params.corpus}", free_bytes(settings.work)
    parts = [_part(work, settings, speech_seconds(params, context.paths)) for work in works if work is not None]
    if not parts:
        steps: tuple[str, ...] = ("no encoder in params (features.encoder): nothing to compute",)
        return Forecast(verb=verb, steps=steps, left=0, time_s=None, measured="", disk_bytes=0, free_bytes=free)
    times_s, sizes = [part.time_s for part in parts], [part.disk_bytes for part in parts]
    return Forecast(
        verb=verb,
        steps=tuple(step for part in parts for step in part.steps),
        left=sum(part.left for part in parts),
        time_s=None if None in times_s else sum(filter(None, times_s)),
        measured="; ".join(part.measured for part in parts if part.measured),
        disk_bytes=None if None in sizes else sum(filter(None, sizes)),
        free_bytes=free,
    )


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The forecast of one encoder."""

    steps: tuple[str, ...]
    left: int
    time_s: float | None
    measured: str
    disk_bytes: int | None


def _part(work: Work, settings: Settings, speech_s: float | None) -> _Part:
    entries = work.shards.entries
    todo = [entry for entry in entries if not work.done(entry)]
    todo_bytes = sum(entry.size for entry in todo)
    workers = max(1, min(work.workers, len(todo)))
    per_byte = _rate(work, settings)
    return _Part(
        steps=(
            f"{len(entries)} dialogues, {sum(entry.count for entry in entries)} utterances, "
            f"encoder {work.pretrained.name}, device {work.kind}",
            f"{len(entries) - len(todo)} of them from the work cache",
            f"{len(todo)} to encode" + (f": {size(todo_bytes)} of shards, workers: {workers}" if todo else ""),
        ),
        left=len(todo),
        time_s=None if per_byte is None else todo_bytes * per_byte / workers,
        measured="" if per_byte is None else f"the last run took {1e6 * per_byte:.2f} s of a worker per MB of shards",
        disk_bytes=_bytes(work, todo, speech_s),
    )


def _rate(work: Work, settings: Settings) -> float | None:
    """Return seconds of a worker per byte of shards, where a run of the same params was measured on this device."""
    from foalnet.stages.features.encode import speed_facts

    note, facts = read_speed(settings, work.noted_as), speed_facts(work, [])
    try:
        if any(note[name] != facts[name] for name in ("params", "device", "packages")):
            return None
        return float(note["wall_s"] * note["workers"] / note["shard_bytes"])
    except (KeyError, TypeError, ZeroDivisionError):
        return None


def _bytes(work: Work, todo: Sequence[ShardEntry], speech_s: float | None) -> int | None:
    """Return the bytes of vectors to come, in all their copies: by the finished ones, without any by the corpus."""
    done = [entry for entry in work.shards.entries if entry not in todo]
    if done or not todo:
        per_byte = sum(work.place(entry).stat().st_size for entry in done) / max(1, sum(entry.size for entry in done))
        return round(COPIES * per_byte * sum(entry.size for entry in todo))
    if isinstance(work.params, TextFeatures):
        vectors = sum(entry.count for entry in todo) * (TOKENS if work.params.steps == "tokens" else 1)
        return COPIES * vectors * CATALOGUE[work.pretrained.name].width * FLOAT_BYTES
    dims = work.pretrained.config.get("projection_dim")
    if speech_s is None or not isinstance(dims, int):
        return None
    return round(COPIES * speech_s * PICTURES_PER_S / work.params.frame_step * dims * FLOAT_BYTES)


def check(chain: Chain) -> Iterator[Link]:
    """Compare the features with their indexes and the shards."""
    for name, folder in (
        ("features of the shards", chain.paths.features),
        ("features of the text", text_folder(chain.paths.features)),
    ):
        yield link(name, chain.stage("features"), partial(_files, chain, folder, name))


def _files(chain: Chain, place: Path, name: str) -> Link:
    """Every file of features has the SHA-256 of its index and names the shard that it was computed from."""
    folder = chain.at(place)
    index = chain.outputs.json(f"{folder}/{INDEX}")
    if index["encoder"] is None:
        return ok(name, "no encoder in params")
    shards = {shard["sha256"] for shard in chain.shards()}
    action = chain.again("features")
    strange = {one["path"] for one in index["files"] if one["shard"] not in shards}
    if strange or len(index["files"]) != len(shards):
        what = (
            f"{len(index['files'])} files of {len(shards)} shards, computed from others: {first_few(strange) or 'none'}"
        )
        return differs(name, what, action=action)
    listed = {one["path"]: str(one["sha256"]) for one in index["files"]}
    read = chain.outputs.digests(f"{folder}/{file}" for file in listed)
    actual = {file: read[f"{folder}/{file}"].sha256 for file in listed}
    wrong = [
        f"{file}: {mismatch(digest, actual[file], by='index', at='file')}"
        for file, digest in listed.items()
        if digest != actual[file]
    ]
    if wrong:
        return differs(name, "; ".join(wrong[:3]), action=action)
    return ok(name, f"{len(listed)} files of {index['encoder']}, computed from these shards")


STAGE = Stage(
    name="features",
    short="encode pictures and words with frozen encoders, once",
    code=("foalnet.stages.features.encode",),
    folders=lambda context: with_folders(context.paths.features),
    run=run,
    forecast=forecast,
    check=check,
)
