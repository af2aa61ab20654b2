"""Stage `shards`: each dialogue's sound and face crops become one shard; the index is published last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from foalnet.artifact.provenance import code_digest
from foalnet.config import Settings
from foalnet.core.errors import DataError
from foalnet.core.files import read_json
from foalnet.core.progress import duration
from foalnet.corpora import READERS
from foalnet.corpora.inventory import resolve_root
from foalnet.shards import INDEX
from foalnet.stages.base import Context, Stage, with_folders
from foalnet.stages.chain import Chain, link
from foalnet.stages.forecast import COPIES, Forecast, free_bytes
from foalnet.stages.link import Link, compare_files, differs, first_few, mismatch, ok, short_digest

if TYPE_CHECKING:
    from foalnet.clips.plan import Job


def run(context: Context) -> Iterator[str]:
    """Stage every dialogue (decode once, find the speaker's face, cut the sound) and pack one shard each."""
    from foalnet.stages.shards.staging import stage

    params, paths = context.params, context.paths
    summary = stage(
        params,
        context.settings,
        root=resolve_root(params, context.settings),
        inventory=paths.inventory,
        manifest=paths.manifest,
        out=paths.shards,
        report=paths.staging,
    )
    yield f"shards: {summary}"


def _jobs(context: Context) -> list[Job]:
    """Return the stage's jobs, one for each dialogue (DataError, exit 3, without manifest and inventory)."""
    from foalnet.stages.shards.warm import jobs_of

    paths = context.paths
    return jobs_of(context.params, context.settings, inventory=paths.inventory, manifest=paths.manifest)


def cached_folders(context: Context) -> set[Path]:
    """Return the dialogues' folders in the work cache (DataError, exit 3, without manifest and inventory)."""
    return {job.folder(context.settings.work) for job in _jobs(context)}


def forecast(context: Context) -> Forecast:
    """Return what `foalnet shards` would do: the dialogues that the work cache does not hold.

    DataError (exit 3) without manifest and inventory.
    """
    jobs, settings = _jobs(context), context.settings
    todo = [job for job in jobs if not _is_kept(job, settings.work)]
    todo_s = sum(job.seconds for job in todo)
    workers = max(1, min(settings.workers, len(todo)))
    steps = (
        f"{len(jobs)} dialogues, {sum(len(job.utterances) for job in jobs)} utterances",
        f"{len(jobs) - len(todo)} of them from the work cache",
        f"{len(todo)} to stage" + (f": {duration(todo_s)} of utterances, workers: {workers}" if todo else ""),
    )
    rate, measured = _rate(settings, context.params.corpus)
    return Forecast(
        verb=f"shards {context.params.corpus}",
        steps=steps,
        left=len(todo),
        time_s=None if rate is None else todo_s * rate / workers,
        measured=measured,
        disk_bytes=_bytes(jobs, todo, settings.work),
        free_bytes=free_bytes(settings.work),
    )


def _is_kept(job: Job, work: Path) -> bool:
    """Tell whether the cache has a dialogue, by its record and the shard's size; the stage checks its bytes."""
    from foalnet.clips.dialogue import SHARD, cached

    record = cached(job, work)
    if record is None or record.shard is None:
        return record is not None
    path = job.folder(work) / SHARD
    return path.is_file() and path.stat().st_size == record.shard.size


def _rate(settings: Settings, corpus: str) -> tuple[float | None, str]:
    """Return seconds of work per second of utterance, as the last run that staged a dialogue measured it."""
    try:
        speeds = read_json(settings.work / "runs" / f"shards-{corpus}.json")
        worked_s, seconds = sum(speeds["dialogues"].values()), speeds["utterance_seconds"]
        return worked_s / seconds, f"the last run took {worked_s / seconds:.2f} s of a worker per second of utterance"
    except (DataError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None, ""


def _bytes(jobs: Sequence[Job], todo: Sequence[Job], work: Path) -> int:
    """Return the bytes of the shards to come in all copies: by the finished shards, else by a generous constant."""
    from foalnet.clips.dialogue import cached

    done = [job for job in jobs if job not in todo]
    records = [(job, cached(job, work)) for job in done]
    shards = [(job, record.shard) for job, record in records if record is not None and record.shard is not None]
    expected = sum(job.size for job, _ in shards)
    share = sum(shard.size for _, shard in shards) / expected if expected else 1.0
    return round(COPIES * share * sum(job.size for job in todo))


def check(chain: Chain) -> Iterator[Link]:
    """Compare the shards with the manifest and their index, and the account of staging with both."""
    for name, one in (
        ("shards of the manifest", _keys),
        ("shards by their index", _files),
        ("account of staging", _account),
    ):
        yield link(name, chain.stage("shards"), partial(one, chain, name))


def _keys(chain: Chain, name: str) -> Link:
    """Every key of the shards' index is an utterance of the manifest, of that session."""
    rows = {row["key"]: row for row in chain.outputs.rows(chain.at(chain.paths.manifest))}
    shards = chain.shards()
    keys = [(key, shard) for shard in shards for key in shard["keys"]]
    strange = {key for key, shard in keys if key not in rows or rows[key]["session"] != shard["session"]}
    if strange:
        what = (
            f"{len(strange)} keys of the index are none of the manifest's, or of another session: {first_few(strange)}"
        )
        return differs(name, what, action=chain.again("shards"))
    return ok(name, f"{len(keys)} keys in {len(shards)} shards, all of the manifest")


def _files(chain: Chain, name: str) -> Link:
    """Every shard has the size and SHA-256 of the index; none is missing, none is extra."""
    folder, action = chain.at(chain.paths.shards), chain.again("shards")
    listed = {shard["path"]: (int(shard["size"]), str(shard["sha256"])) for shard in chain.shards()}
    here = set(chain.outputs.names(folder)) - {INDEX}
    for what, names in (("missing", listed.keys() - here), ("in no index", here - listed.keys())):
        if names:
            return differs(name, f"{len(names)} files are {what}: {first_few(names)}", action=action)
    read = chain.outputs.digests(f"{folder}/{file}" for file in listed)
    actual = {file: read[f"{folder}/{file}"] for file in listed}
    held = f"{len(listed)} files have the size and SHA-256 that {folder}/{INDEX} says"
    return compare_files(name, listed, actual, by="index", action=action, held=held)


def _account(chain: Chain, name: str) -> Link:
    """Every utterance of the manifest is in the shards, or dropped or left out with a reason; the staging code is this.

    The account says which utterances were dropped, params and manifest which were not to be staged.
    """
    from foalnet.clips.plan import chosen
    from foalnet.stages.shards.staging import CODE

    account, shards = chain.outputs.json(chain.at(chain.paths.staging)), chain.shards()
    rows, action = chain.manifest(), chain.again("shards")
    staged = {key for shard in shards for key in shard["keys"]}
    wanted = {row.key for row in chosen(rows, chain.params.shards.utterances)}
    dropped = {one["item"] for one in account["ledger"]["entries"] if one["kind"] == "dropped"}
    if strange := staged ^ (wanted - dropped):
        what = f"{len(strange)} utterances are neither in the shards nor dropped with a reason: {first_few(strange)}"
        return differs(name, what, action=action)
    counted = {"staged": len(staged), "dropped": len(dropped), "not_staged": len(rows) - len(wanted)}
    expected = {
        "corpus": chain.params.corpus,
        "shards": {"count": len(shards), "bytes": sum(shard["size"] for shard in shards)},
        "utterances": counted,
    }
    for what, value in expected.items():
        if account[what] != value:
            return differs(
                name, f"{what}: {mismatch(value, account[what], by='index', at='staging.json')}", action=action
            )
    code = code_digest(CODE)
    if account["tools"]["code"] != code:
        what = mismatch(account["tools"]["code"], code, by="staging.json", at="code here")
        return differs(name, f"staging code: {what}", action=action)
    count = " + ".join(f"{value} {what.replace('_', ' ')}" for what, value in counted.items())
    return ok(name, f"{count} = {len(rows)} utterances of the manifest; staging code {short_digest(code)}")


STAGE = Stage(
    name="shards",
    short="stage faces and sound, one shard a dialogue",
    code=("foalnet.stages.shards.staging", *(f"foalnet.corpora.{name}" for name in READERS)),
    folders=lambda context: [context.paths.reports, *with_folders(context.paths.shards)],
    run=run,
    forecast=forecast,
    check=check,
    cached=cached_folders,
    cache_kind="clips",
)
