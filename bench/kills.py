"""Kills a verb, and DVC itself, with SIGKILL at random moments, and checks that the same command then recovers.

    python -m bench.kills [--staging 50] [--training 20] [--repro 20] [--seed 1]

There are three small projects: `foalnet shards` over four dialogues (one damaged, so that ffmpeg's process decodes it),
`foalnet train` of five folds that write a checkpoint every tenth of a second, and `dvc repro` of the same staging after
`foalnet mend`, of which only DVC is killed. Each command runs once undisturbed. Then a run is killed and started again,
often killed again, until one run ends by itself: a chain. Half of the moments are uniform over the duration of an
undisturbed run, half come at most 20 ms after a random change in the output folders. A third of the chains begin with
the outputs of a whole run with other params ("yesterday").

After every second kill the command starts again at once, while processes of the killed run may still live and hold the
lock: a run that is refused by that lock with exit code 4 is counted and tried again. After the other kills: no process
is alive, every file outside work/ has the bytes of one of the two params, and where the marker file exists that is
written last (index.json, train.json), all published files are of one params; after some of them `foalnet gc` leaves
nothing unfinished in work/. At the end of a chain the same command runs undisturbed: then no process is left, all files
outside work/ have the expected bytes, and after `foalnet gc` work/ holds no extra file or folder.

Anything else is a difference: it is printed, and the exit code is 1. The exit code is also 1 if the kills show little:
if most came before the run had its lock, or if ten or more hit fewer than three phases of a run. The same seed gives
the same moments; the state of a run at a moment depends on the machine.
"""

from __future__ import annotations

import argparse
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from bench.storm import BEFORE_LOCK, Scenario, Storm, Tally, environment, made
from foalnet.config.blocks import Train
from foalnet.config.load import runs_of
from foalnet.config.yamls import read_yaml
from foalnet.core.paths import HEADLINE, Paths
from foalnet.shards import INDEX

FOALNET, DVC = (sys.executable, "-m", "foalnet"), (sys.executable, "-m", "dvc")
# The stages of the real dvc.yaml that this scenario runs, without dependencies on code.
GRAPH: dict[str, dict[str, Any]] = {
    "inventory": {
        "cmd": shlex.join([*FOALNET, "inventory", "tiny"]),
        "always_changed": True,
        "outs": [{"data/tiny/inventory.json": {"persist": True}}],
    },
    "manifest": {
        "cmd": shlex.join([*FOALNET, "manifest", "tiny"]),
        "deps": ["data/tiny/inventory.json"],
        "params": ["corpora.tiny.manifest"],
        "outs": ["data/tiny/manifest.jsonl", "data/tiny/manifest.sha256", "reports/tiny/counts.json"],
    },
    "shards": {
        "cmd": shlex.join([*FOALNET, "shards", "tiny"]),
        "deps": ["data/tiny/inventory.json", "data/tiny/manifest.jsonl", "data/tiny/manifest.sha256"],
        "params": ["corpora.tiny.shards"],
        "outs": ["data/tiny/shards", "reports/tiny/staging.json"],
    },
}
DIALOGUES = ("Ses01F_impro01", "Ses01M_impro02", "Ses02F_script01_1", "Ses02M_impro03")


def staging() -> Scenario:
    """Return the scenario of `foalnet shards` over four small dialogues, one with a gap in its video."""
    from tests.support.corpus.trees import clips_tree

    def prepare(home: Path) -> None:
        root = clips_tree(home.parent / "root", DIALOGUES)
        avi = root / f"Session2/dialog/avi/DivX/{DIALOGUES[-1]}.avi"
        data = bytearray(avi.read_bytes())
        middle = len(data) // 2
        data[middle : middle + 3000] = bytes(3000)
        avi.write_bytes(data)
        home.mkdir()
        entry = {
            "reader": "iemocap", "source": str(root), "variants": ["foal"], "seeds": [1],
            "manifest": {"classes": {"neutral": ["neu"], "angry": ["ang"]}, "max_drop_fraction": 1.0},
            "shards": {"detector": "fixed"}, "train": {}, "evaluate": {}, "report": {},
        }  # fmt: skip
        (home / "params.yaml").write_text(yaml.safe_dump({"corpora": {"tiny": entry}, "runs": {}}))
        (home / "dvc.yaml").write_text("stages: {}\n")
        for verb in (["config", "--sync"], ["inventory", "tiny"], ["manifest", "tiny"]):
            subprocess.run([*FOALNET, *verb], cwd=home, env=environment(home), check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(home / "work")

    return Scenario(
        name="staging",
        command=(*FOALNET, "shards", "tiny"),
        marker=f"data/tiny/shards/{INDEX}",
        prepare=prepare,
        change=lambda home: _set(home, "tiny", "shards", jpeg_quality=60),
        phase=_staged,
        env={"FOALNET_WORKERS": "2"},
    )


def _staged(home: Path, since_s: float) -> str:
    work, paths = home / "work", Paths("tiny", home)
    if not made(since_s, *(work / "locks").glob("*")):
        return BEFORE_LOCK
    if made(since_s, paths.shards / INDEX):
        return "after the index"
    count = made(since_s, *(work / "clips").glob("*/entry.json"))
    return f"{count} of {len(DIALOGUES)} dialogues done" + (", no index" if count == len(DIALOGUES) else "")


def training() -> Scenario:
    """Return the scenario of `foalnet train` over five folds of a synthetic corpus."""

    def prepare(home: Path) -> None:
        from tests.support.corpus.stores import make_store, write_corpus, write_params

        home.mkdir()
        write_corpus(home, make_store(per_group=16))
        write_params(
            home,
            epochs=10,
            patience=10,
            audio={"dropout": 0.3, "augment": True},
            video={"dropout": 0.2, "augment": True},
        )
        params = read_yaml(home / "params.yaml")
        params["runs"] = runs_of("drawn", ["foal"], [1], [HEADLINE], train=Train())
        (home / "params.yaml").write_text(yaml.safe_dump(params))

    return Scenario(
        name="training",
        command=(*FOALNET, "train", "drawn", "--variant", "foal", "--seed", "1"),
        marker="models/drawn/foal-s1/train.json",
        prepare=prepare,
        change=lambda home: _set(home, "drawn", "train", epochs=3, patience=3),
        phase=_trained,
        env={"FOALNET_WORKERS": "2", "FOALNET_CHECKPOINT_EVERY_S": "0.1", "FOALNET_DEVICE": "cpu"},
    )


def _trained(home: Path, since_s: float) -> str:
    work, model = home / "work", Paths("drawn", home).model("foal", 1)
    if not made(since_s, *(work / "locks").glob("*")):
        return BEFORE_LOCK
    if made(since_s, model / "train.json"):
        return "published"
    if made(since_s, *model.glob("[!.]*")):
        return "while it published"
    return "between states" if made(since_s, *(work / "train").glob("*/*.safetensors")) else "before the first state"


def _set(home: Path, corpus: str, block: str, **params: object) -> None:
    """Change params of a corpus' entry."""
    path = home / "params.yaml"
    file = read_yaml(path)
    file["corpora"][corpus][block] |= params
    path.write_text(yaml.safe_dump(file))


def repro() -> Scenario:
    """Return the scenario of `dvc repro`, as in `make run`, over the staging of the four small dialogues."""
    below = staging()

    def prepare(home: Path) -> None:
        below.prepare(home)
        (home / "dvc.yaml").write_text(yaml.safe_dump({"stages": GRAPH}, sort_keys=False))
        # DVC now makes what the verbs wrote before.
        shutil.rmtree(home / "data" / "tiny")
        for command in (["init", "--no-scm", "-q"], ["config", "core.analytics", "false"]):
            subprocess.run([*DVC, *command], cwd=home, env=environment(home), check=True, stdout=subprocess.DEVNULL)

    return replace(
        below,
        name="repro",
        command=("/bin/sh", "-c", f"{shlex.join([*FOALNET, 'mend'])} && exec {shlex.join(DVC)} repro"),
        prepare=prepare,
        refused=255,
        env=below.env | {"SHELL": "/bin/sh", "DVC_NO_ANALYTICS": "1"},
    )


SCENARIOS = {"staging": staging, "training": training, "repro": repro}


def storm(kills: dict[str, int], seed: int, say: Callable[[str], None]) -> dict[str, Tally]:
    """Kill each scenario's command so often; return scenario -> tally."""
    tallies: dict[str, Tally] = {}
    for name, count in kills.items():
        if count:
            with tempfile.TemporaryDirectory(prefix="kills-") as folder:
                # A random stream per scenario, so that the moments of one do not depend on another.
                dice = random.Random(f"{seed} {name}")  # noqa: S311
                tallies[name] = Storm(SCENARIOS[name](), Path(folder), dice, say).run(count)
    return tallies


def lines(tallies: dict[str, Tally]) -> list[str]:
    """Return the lines that report the tallies."""
    rows = []
    for name, tally in tallies.items():
        rows.append(f"{name}: {tally.killed} kills, {len(tally.faults)} differences")
        rows += [f"  {count:3d} {phase}" for phase, count in sorted(tally.kills.items())]
        chains = ", ".join(f"{count} of {length}" for length, count in sorted(tally.chains.items()))
        rows.append(f"  chains of kills: {chains}; runs that ended before their moment: {tally.missed}")
        rows.append(
            f"  run again at once after {tally.at_once} kills; refused by the lock, tried again: {tally.refused}"
        )
        rows.append(f"  work/ swept between kills {tally.sweeps} times, and at the end of every chain")
        rows += [f"  DIFFERENCE {fault}" for fault in tally.faults]
        rows += [f"  WEAK STORM {fault}" for fault in tally.weak]
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the kills and print the result; return 1 where anything differed or the kills showed little."""
    parser = argparse.ArgumentParser(prog="python -m bench.kills", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--staging", type=int, default=50, help="kills of `foalnet shards`")
    parser.add_argument("--training", type=int, default=20, help="kills of `foalnet train`")
    parser.add_argument("--repro", type=int, default=20, help="kills of `dvc repro`")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(arguments)

    def say(line: str) -> None:
        print(line, flush=True)

    say(f"seed {args.seed}")
    tallies = storm({"staging": args.staging, "training": args.training, "repro": args.repro}, args.seed, say)
    for line in lines(tallies):
        say(line)
    return 1 if any(tally.faults or tally.weak for tally in tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
