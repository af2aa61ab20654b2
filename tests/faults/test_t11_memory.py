"""T11: the kernel kills a worker for want of memory: others finish, its dialogue is tried once more, then named."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import foalnet.clips.staging as staging
from foalnet.clips.dialogue import kept
from foalnet.clips.warm import jobs_of
from foalnet.errors import MachineError
from tests.clips_tree import Place
from tests.staged import DIALOGUE, OTHER

real_work = staging._work


def marks(work: Path) -> list[Path]:
    return sorted(work.glob("tried-*"))


def tried(job: Any, work: Path) -> int:
    """Note that a worker began a dialogue; return how often that was before."""
    before = len(list(work.glob(f"tried-{job.dialogue}-*")))
    (work / f"tried-{job.dialogue}-{before}").touch()
    return before


def killed_once(detector: Any, job: Any, *, root: Path, work: Path, timeout_s: float) -> float:
    """Do a worker's work; the first at DIALOGUE is killed when the shard is there and its entry is not."""
    if tried(job, work) == 0 and job.dialogue == DIALOGUE:
        killed_at_the_entry()
    return real_work(detector, job, root=root, work=work, timeout_s=timeout_s)


def killed_always(detector: Any, job: Any, *, root: Path, work: Path, timeout_s: float) -> float:
    tried(job, work)
    if job.dialogue == DIALOGUE:
        killed_at_the_entry()
    return real_work(detector, job, root=root, work=work, timeout_s=timeout_s)


def killed_at_the_entry() -> None:
    import foalnet.clips.dialogue as dialogue

    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    dialogue.publish_bytes = die  # type: ignore[assignment]


@pytest.fixture
def fresh(sound_tree: Path, tmp_path: Path) -> Callable[[], Place]:
    """A place that stages with two real workers."""

    def make() -> Place:
        place = Place(home=tmp_path, root=sound_tree, workers=2)
        place.list_files()
        return place

    return make


def test_t11_a_worker_killed_once_costs_one_retry_and_no_byte(
    fresh: Callable[[], Place], whole: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = fresh()
    monkeypatch.setattr(staging, "_work", killed_once)
    assert place.stage(listed=True).staged_now == 2
    assert place.bytes() == whole.bytes()
    names = [path.name for path in marks(place.settings.work)]
    assert names == [f"tried-{DIALOGUE}-0", f"tried-{DIALOGUE}-1", f"tried-{OTHER}-0"]


def test_t11_a_worker_killed_twice_is_named_the_other_dialogue_is_kept_and_a_rerun_is_whole(
    fresh: Callable[[], Place], whole: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = fresh()
    with monkeypatch.context() as patch:
        patch.setattr(staging, "_work", killed_always)
        with pytest.raises(MachineError, match=f"dialogue {DIALOGUE} died twice.*signal 9") as caught:
            place.stage(listed=True)
    error = caught.value
    assert (error.exit_code, error.stage) == (4, "shards") and "FOALNET_WORKERS" in str(error.action)
    assert not (place.out / "index.json").exists()
    inputs = {"inventory": place.home / "inventory.json", "manifest": place.home / "manifest.jsonl"}
    done = {job.dialogue: kept(job, place.settings.work) for job in jobs_of(place.params, place.settings, **inputs)}
    assert done[DIALOGUE] is None and done[OTHER] is not None
    assert place.stage(listed=True).staged_now == 1
    assert place.bytes() == whole.bytes()
    assert [path.name for path in place.settings.work.rglob(".*")] == []
