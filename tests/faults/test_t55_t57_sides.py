"""Who sits where: the audit recognises mirrored pictures and swapped actors, and staging follows the params."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foalnet import media
from foalnet.clips.sides import overrules
from foalnet.config import Params
from foalnet.config.blocks import Shards
from foalnet.config.draw import Draw
from foalnet.drawn.plan import Dialogue, plan
from foalnet.drawn.write import draw_dialogue
from foalnet.faces.audit import Audit
from foalnet.shards import open_shards
from tests.support.corpus.staging import Place
from tests.support.corpus.videos import write_avi
from tests.support.heads import at_size, clip_frames, clip_sound, speaking, write_heads

DRAWN = Draw(dialogues_per_session=2, used_per_dialogue=8, unused_per_dialogue=0)
OTHER = {"left": "right", "right": "left"}


class Table(Place):
    """A place with a table of sides in its entry."""

    @property
    def params(self) -> Params:
        return super().params.model_copy(update={"sides_table": str(self.home / "sides.txt")})


def avi_of(root: Path, dialogue: str) -> Path:
    return root / f"Session{dialogue[4]}" / "dialog" / "avi" / "DivX" / f"{dialogue}.avi"


def draw_some(root: Path, dialogues: list[Dialogue]) -> None:
    for one in dialogues:
        (root / "TRUTH").mkdir(parents=True, exist_ok=True)
        draw_dialogue(DRAWN, one, root=root, with_media={one.name})


@pytest.fixture(scope="module")
def two() -> list[Dialogue]:
    """A dialogue with the markers on each actor."""
    session = [one for one in plan(DRAWN) if one.session == 1]
    assert {one.marker for one in session} == {"F", "M"}
    return session


@pytest.fixture(scope="module")
def mirrored(two: list[Dialogue], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both dialogues with their pictures mirrored: whoever sat left is now on the right."""
    root = tmp_path_factory.mktemp("mirrored")
    draw_some(root, two)
    for one in two:
        path = avi_of(root, one.name)
        pictures = [np.ascontiguousarray(frame[:, ::-1]) for frame in media.decode_frames(path)]
        write_avi(path, pictures)
    return root


@pytest.fixture(scope="module")
def by_rule(mirrored: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return staged(Place(home=tmp_path_factory.mktemp("rule"), root=mirrored, shards=Shards()))


@pytest.fixture(scope="module")
def by_audit(mirrored: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return staged(Place(home=tmp_path_factory.mktemp("audit"), root=mirrored, shards=Shards(sides="audit")))


def staged(place: Place) -> Place:
    place.stage()
    return place


def account(place: Place) -> dict[str, Any]:
    return dict(json.loads(place.report.read_bytes()))


def rows(place: Place) -> dict[str, dict[str, Any]]:
    return {row["dialogue"]: row for row in account(place)["sides"]["dialogues"]}


def metas(place: Place) -> dict[str, dict[str, Any]]:
    return {s.key: json.loads(s.members["json"]) for s in open_shards(place.out).samples()}


def reasons(place: Place) -> dict[str, str]:
    return {
        e["item"]: f"{e['kind']}/{e['reason']}" for e in account(place)["ledger"]["entries"] if "side" in e["reason"]
    }


@pytest.mark.long
def test_t55_a_mirrored_picture_is_recognised_whoever_has_the_markers(by_rule: Place, two: list[Dialogue]) -> None:
    sides = account(by_rule)["sides"]
    assert (sides["mode"], sides["audited"], sides["agree"], sides["sure"]) == ("rule", 2, 0, 2)
    for one in two:
        row = rows(by_rule)[one.name]
        assert not row["audit"]["agrees"] and row["audit"]["sure"] and row["by"] == "rule"
        # Nothing is done about it: the marker's actor is still staged on the left.
        assert row["left"] == f"Ses01{one.marker}"
        assert reasons(by_rule)[one.name] == "kept/side_doubted"
    for key, meta in metas(by_rule).items():
        assert meta["side"] == ("left" if key.split("_")[-1][0] == key[5] else "right")


@pytest.mark.long
def test_t55_the_audit_is_followed_where_params_say_so(by_rule: Place, by_audit: Place, two: list[Dialogue]) -> None:
    sides = account(by_audit)["sides"]
    assert (sides["mode"], sides["agree"], sides["sure"]) == ("audit", 2, 2)
    assert reasons(by_audit) == {one.name: "repaired/side_by_audit" for one in two}
    assert account(by_audit)["ledger"]["counts"]["repaired/side_by_audit"] == 2
    for one in two:
        assert rows(by_audit)[one.name]["right"] == f"Ses01{one.marker}"
    before, after, moved = metas(by_rule), metas(by_audit), 0
    assert set(before) == set(after)
    for key, meta in after.items():
        assert meta["side"] == OTHER[before[key]["side"]]
        # Every box is in the half in which the speaker sits in the mirrored picture.
        lefts = [box[0] for box in meta["video"]["boxes"] if any(box)]
        assert all((left < 360) == (meta["side"] == "left") for left in lefts)
        moved += len(lefts)
    assert moved > 0.9 * sum(len(meta["video"]["boxes"]) for meta in after.values())


def test_t55_below_the_bound_the_rule_is_kept() -> None:
    against = Audit(agrees=False, confidence=0.9989, evidence={"a": -1.0})
    audits = Shards(sides="audit", side_confidence=0.999)
    assert not overrules(against, audits)
    assert overrules(replace(against, confidence=0.9991), audits)
    assert not overrules(replace(against, confidence=0.9991), Shards(sides="rule"))
    assert not overrules(replace(against, agrees=True, confidence=0.9999), audits)
    assert not overrules(None, audits)


@pytest.mark.long
def test_t55_a_table_does_what_the_audit_did_and_stages_no_other_dialogue_again(
    by_rule: Place, by_audit: Place, two: list[Dialogue], tmp_path: Path
) -> None:
    shutil.copytree(by_rule.home / "work", tmp_path / "work")
    place = Table(home=tmp_path, root=by_rule.root, shards=Shards(sides="table"))
    first, second = sorted(one.name for one in two)
    marker = f"Ses01{first[5]}"
    (tmp_path / "sides.txt").write_text(f"# looked at\n\n{first}\t{marker}  right\n")
    summary = place.stage()
    assert summary.staged_now == 1
    assert reasons(place) == {first: "repaired/side_by_table", second: "kept/side_doubted"}
    assert rows(place)[first]["by"] == "table" and rows(place)[first]["audit"]["agrees"]
    name = "Session1/000000.tar"
    assert place.bytes()[name] == by_audit.bytes()[name] != by_rule.bytes()[name]
    assert place.bytes()["Session1/000001.tar"] == by_rule.bytes()["Session1/000001.tar"]


def agreeing(place: Place) -> tuple[int, int]:
    sides = account(place)["sides"]
    return sides["agree"], sides["audited"]


@pytest.mark.long
def test_t57_every_drawn_dialogue_agrees_with_the_truth(two: list[Dialogue], tmp_path: Path) -> None:
    draw_some(tmp_path / "root", two)
    place = Place(home=tmp_path, root=tmp_path / "root", shards=Shards())
    place.stage()
    assert agreeing(place) == (2, 2) and reasons(place) == {}
    for one in two:
        actors = json.loads((place.root / "TRUTH" / f"{one.name}.json").read_text())["actors"]
        row = rows(place)[one.name]
        assert {side: row[side] for side in OTHER} == {seen["side"]: f"Ses01{a}" for a, seen in actors.items()}


@pytest.mark.long
def test_t57_the_whole_drawn_corpus_agrees_with_the_truth(tmp_path: Path) -> None:
    draw_some(tmp_path / "root", plan(Draw()))
    place = Place(home=tmp_path, root=tmp_path / "root", shards=Shards())
    place.stage()
    assert agreeing(place) == (30, 30)
    assert account(place)["sides"]["sure"] >= 27


HEADS = {
    "Ses01F_impro01": ("bbaf2n", "brbk7n", "30000/1001"),
    "Ses02M_impro02": ("lbax4n", "pwij3p", "25"),
    "Ses03F_impro03": ("pwij3p", "bbaf2n", "25"),
    "Ses04M_impro04": ("brbk7n", "lbax4n", "30000/1001"),
}


@pytest.mark.long
@pytest.mark.parametrize("swap", [False, True])
def test_t57_every_utterance_of_composed_real_heads_is_judged_right(
    swap: bool, shared_data: Path, tmp_path: Path
) -> None:
    names = sorted({name for pair in HEADS.values() for name in pair[:2]})
    halves = {name: at_size(clip_frames(shared_data, name), 42) for name in names}
    voices = {name: clip_sound(shared_data, name, tmp_path) for name in names}
    for dialogue, (left, right, rate) in HEADS.items():
        write_heads(
            tmp_path / "root", dialogue, (left, right), rate, voices=voices, swap=swap,
            show=lambda clip, time_s, letter: speaking(halves[clip], time_s, letter),
        )  # fmt: skip
    place = Place(home=tmp_path, root=tmp_path / "root", shards=Shards())
    place.stage()
    assert agreeing(place) == (0 if swap else len(HEADS), len(HEADS))
    for row in rows(place).values():
        assert row["audit"]["utterances"] == 3
        # Told against the sides staged, which follow the rule: none against it, or all.
        assert len(row["audit"]["against"]) == (3 if swap else 0)
