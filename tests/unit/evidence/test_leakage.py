"""Who and what is on both sides of a fold: nothing in a sound corpus; a copy of a file is an alarm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from foalnet.artifact.seal import publish_sealed, read_sealed
from foalnet.config import Params
from foalnet.core.paths import Paths
from foalnet.evidence.report import build
from foalnet.evidence.report.leakage import apart, sides
from foalnet.evidence.report.results import read
from tests.support.corpus.results import make_params, write_report
from tests.support.corpus.rows import make_utterances

OTHERS = {"speakers": (), "dialogues": (), "files": ()}


def made(tmp_path: Path) -> tuple[Params, Paths]:
    params = make_params(variants=["foal"])
    utterances = [replace(u, video=f"{u.dialogue}.avi") for u in make_utterances(params)]
    return params, write_report(tmp_path, params, utterances)


def with_files(paths: Paths, sha256: dict[str, str]) -> None:
    """Let the inventory name these files with these digests alone."""
    facts = read_sealed(paths.inventory, again="inventory@drawn")
    facts["files"] = [{"path": p, "sha256": d, "size": 1, "role": "video"} for p, d in sha256.items()]
    publish_sealed(paths.inventory, facts)


def test_nothing_is_on_both_sides(tmp_path: Path) -> None:
    params, paths = made(tmp_path)
    results = read(params, paths)
    checked = sides(results)
    assert [one.fold for one in checked] == list(results.facts.folds)
    assert all(one.both == OTHERS and one.tested + one.others == 420 for one in checked)
    assert apart(checked).startswith("Checked: in each of 5 folds no speaker")
    assert apart(checked) in paths.report_md.read_text() and "Alarm" not in paths.report_md.read_text()


def test_a_copy_of_a_file_in_another_session_is_an_alarm(tmp_path: Path) -> None:
    params, paths = made(tmp_path)
    used = read(params, paths).used
    first, last = used[0], used[-1]
    assert first.video and last.video and first.session != last.session
    with_files(paths, {first.video: "a" * 64, last.video: "a" * 64, str(used[40].video): "b" * 64})
    both = {one.fold: one.both["files"] for one in sides(read(params, paths))}
    name = min(first.video, last.video)
    assert {fold for fold, names in both.items() if names == (name,)} == {first.session, last.session}
    build(params, paths)
    text = paths.report_md.read_text()
    assert "**Alarm.**" in text and "files " in text and "Checked: in" not in text


def test_a_speaker_and_a_dialogue_on_both_sides_are_named(tmp_path: Path) -> None:
    params, paths = made(tmp_path)
    results: Any = read(params, paths)
    one, other = results.used[0], results.used[-1]
    moved = replace(one, speaker=other.speaker, dialogue=other.dialogue)
    results = replace(results, manifest=tuple(moved if u.key == one.key else u for u in results.manifest))
    alarms = [alarm for fold in sides(results) for alarm in fold.alarms]
    assert f"fold {one.session}: speakers {other.speaker}" in alarms
    assert f"fold {other.session}: dialogues {other.dialogue}" in alarms and len(alarms) == 4


def test_without_a_manifest_nothing_is_claimed(tmp_path: Path) -> None:
    results = replace(read(*made(tmp_path)), manifest=())
    assert sides(results) == [] and apart([]) == ""
