"""Staging of a small tree, and what its shards and its account hold."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from foalnet import media
from foalnet.config import Params, Settings
from foalnet.config.blocks import Shards
from foalnet.core.files import json_bytes, publish_bytes
from foalnet.core.paths import Paths
from foalnet.core.records import Box
from foalnet.corpora.inventory import inventory
from foalnet.shards import Sample, open_shards
from foalnet.stages.manifest.build import build
from foalnet.stages.shards.staging import StageSummary, stage
from tests.support.corpus.trees import CLIPS, make_params

DIALOGUE, OTHER = CLIPS[:2]
AVI = f"Session1/dialog/avi/DivX/{DIALOGUE}.avi"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A project folder that stages one tree."""

    home: Path
    root: Path
    shards: Shards = field(default_factory=lambda: Shards(detector="fixed"))
    classes: Mapping[str, list[str]] | None = None
    workers: int = 1
    corpus: str = "tiny"
    reader: str = "iemocap"
    table: str | None = None
    # Starting the worker processes costs seconds.
    with_pool: bool = False

    @property
    def params(self) -> Params:
        """The resolved params."""
        classes = self.classes or {"neutral": ["neu"], "angry": ["ang"]}
        return make_params(
            corpus=self.corpus, reader=self.reader, source=str(self.root), classes=classes, max_drop_fraction=1.0,
            shards=self.shards.model_dump(), sides_table=f"data/{self.corpus}.sides.txt", table=self.table,
        )  # fmt: skip

    @property
    def settings(self) -> Settings:
        """Machine settings with a work folder of its own."""
        return Settings(work=self.home / "work", workers=self.workers)

    @property
    def out(self) -> Path:
        """The folder of shards."""
        return self.home / "data" / "shards"

    @property
    def report(self) -> Path:
        """The account of staging."""
        return self.home / "reports" / "staging.json"

    def list_files(self) -> None:
        """Run the two stages before staging."""
        inventory(self.params, self.settings, self.home / "inventory.json")
        build(
            self.params,
            self.settings,
            self.home / "inventory.json",
            self.home / "manifest.jsonl",
            self.home / "reports" / "counts.json",
        )

    def stage(self, *, listed: bool = False, **options: Any) -> StageSummary:
        """Run inventory and manifest (unless `listed`), then staging, in this process unless `with_pool`."""
        if not listed:
            self.list_files()
        files = {"inventory": self.home / "inventory.json", "manifest": self.home / "manifest.jsonl"}
        options = files | {"root": self.root, "out": self.out, "report": self.report} | options
        with pytest.MonkeyPatch.context() as patch:
            if not self.with_pool:
                patch.setattr("foalnet.stages.shards.staging.Pool", LocalPool)
            return stage(self.params, self.settings, **options)

    def stage_paths(self) -> Paths:
        """Run inventory, manifest and staging into the paths that verbs read; return them."""
        paths = Paths(self.corpus, self.home)
        inventory(self.params, self.settings, paths.inventory)
        build(self.params, self.settings, paths.inventory, paths.manifest, paths.counts)
        files = {"inventory": paths.inventory, "manifest": paths.manifest}
        self.stage(listed=True, **files, out=paths.shards, report=paths.staging)
        return paths

    def bytes(self) -> dict[str, bytes]:
        """Every published byte, by relative path."""
        files = {p.relative_to(self.out).as_posix(): p.read_bytes() for p in sorted(self.out.rglob("*")) if p.is_file()}
        return files | {"staging.json": self.report.read_bytes()}


@dataclass(frozen=True, kw_only=True)
class Impatient(Place):
    """A place that does not wait an hour for a frame."""

    timeout_s: float

    @property
    def settings(self) -> Settings:
        """Machine settings with a short timeout."""
        return Settings(work=self.home / "work", workers=1, ffmpeg_timeout_s=self.timeout_s)


class LocalPool:
    """Stands in for the pool of workers: the same jobs in this process."""

    def __init__(self, *, setup: Any, work: Any, done: Any, **_: Any) -> None:
        self._setup, self._work, self._done = setup, work, done
        self.errors: dict[int, Exception] = {}

    def run(self, jobs: Sequence[Any]) -> list[Any]:
        """Run every job in order."""
        state, results = self._setup(), []
        for job in jobs:
            results.append(self._work(state, job))
            self._done(job)
        return results


def samples(place: Place) -> dict[str, tuple[dict[str, Any], Sample]]:
    """Return key -> (picture metadata, sample)."""
    return {s.key: (json.loads(s.members["json"])["video"], s) for s in open_shards(place.out).samples()}


def of_dialogue(place: Place) -> dict[str, tuple[dict[str, Any], Sample]]:
    """Return the samples of DIALOGUE alone."""
    return {key: got for key, got in samples(place).items() if key.startswith(DIALOGUE)}


def pictures(got: tuple[dict[str, Any], Sample], stream: Literal["face", "half"]) -> list[bytes]:
    """Return the JPEG of each slot, empty where there is none."""
    return got[1].pictures(stream)


def account(place: Place) -> dict[str, Any]:
    """Return the account of staging."""
    staging: dict[str, Any] = json.loads(place.report.read_bytes())
    return staging


def entries(place: Place) -> dict[str, list[tuple[str, str]]]:
    """Return item -> (kind, reason) of its lines in the account."""
    by_item: dict[str, list[tuple[str, str]]] = {}
    for e in account(place)["ledger"]["entries"]:
        by_item.setdefault(e["item"], []).append((e["kind"], e["reason"]))
    return by_item


def same_sound_as(whole: Place, place: Place) -> bool:
    """Tell whether both hold the same utterances with the same sound."""
    one, other = (
        {key: sample.members["flac"] for key, (_, sample) in samples(where).items()} for where in (whole, place)
    )
    return one == other


def other_dialogue_is_untouched(whole: Place, place: Place) -> bool:
    """Tell whether the shard of OTHER has the bytes that it has without the fault."""
    name = "Session1/000001.tar"
    return place.bytes()[name] == whole.bytes()[name]


def all_masked(place: Place, whole: Place) -> bool:
    """Tell whether DIALOGUE's utterances are all kept with their slots, every one masked `video_missing`, and counted.

    Without a stamp the slots follow NTSC from the utterance's start, so that their number may be one off.
    """
    got, full = of_dialogue(place), of_dialogue(whole)
    return set(got) == set(full) and all(
        set(video["sources"]) == {"missing"}
        and set(video["reasons"]) == {"video_missing"}
        and abs(len(video["times_s"]) - len(full[key][0]["times_s"])) <= 1
        and sample.members["face.mjpg"] == sample.members["half.mjpg"] == b""
        and entries(place)[key] == [("kept", "video_missing")]
        for key, (video, sample) in got.items()
    )


def files_for_the_verb(place: Place, home: Path) -> dict[str, str]:
    """Write params, inventory and manifest of a place as the verb `shards` reads them; return its environment."""
    dumped = place.params.model_dump(
        mode="json", include={"reader", "source", "variants", "seeds", "manifest", "shards"}
    )
    entry = dumped | {"train": {}, "evaluate": {}, "report": {}}
    publish_bytes(home / "params.yaml", json_bytes({"corpora": {place.corpus: entry}, "runs": {}}))
    paths = Paths(place.corpus, home)
    inventory(place.params, place.settings, paths.inventory)
    build(place.params, place.settings, paths.inventory, paths.manifest, paths.counts)
    return os.environ | {"PYTHONPATH": str(Path(media.__file__).parents[2]), "FOALNET_WORKERS": "1"}


class Scripted:
    """A detector that answers as `sees(i, n)` says for the i-th of the n pictures it is shown at once."""

    name = "scripted"

    def __init__(self, sees: Callable[[int, int], Sequence[Box] | None]) -> None:
        self.sees = sees

    def digest(self) -> str:
        """Return any digest."""
        return "0" * 64

    def weights(self) -> dict[str, str]:
        """Return {}."""
        return {}

    def detect(self, frames: Sequence[np.ndarray]) -> Any:
        """Return the script's boxes."""
        answers = [self.sees(i, len(frames)) for i in range(len(frames))]
        return [None if answer is None else list(answer) for answer in answers]


def stage_with(
    place: Place, monkeypatch: pytest.MonkeyPatch, sees: Callable[[int, int], Sequence[Box] | None]
) -> dict[str, tuple[dict[str, Any], Sample]]:
    """Stage with a scripted detector and return the samples."""
    monkeypatch.setattr("foalnet.stages.shards.staging.get_detector", lambda params, settings: Scripted(sees))
    place.stage()
    return samples(place)


@contextmanager
def opens_of(path: Path) -> Iterator[Callable[[], int]]:
    """Yield a function that says how often any program opened a file since the block began (Linux: inotify)."""
    if sys.platform != "linux":
        pytest.skip("which files a program opens is asked of Linux' inotify")
    libc = ctypes.CDLL(None, use_errno=True)
    watch, opened = libc.inotify_init1(os.O_NONBLOCK), 0x20  # IN_OPEN
    assert watch >= 0 and libc.inotify_add_watch(watch, os.fsencode(path), opened) >= 0, os.strerror(ctypes.get_errno())
    count = 0

    def opens() -> int:
        nonlocal count
        try:
            data = os.read(watch, 1 << 16)
        except BlockingIOError:
            return count
        while data:
            _, _, _, length = struct.unpack_from("iIII", data)
            data, count = data[16 + length :], count + 1
        return count

    try:
        yield opens
    finally:
        os.close(watch)
