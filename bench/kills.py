"""Kill storm: kill -9 at random moments of a verb and of DVC itself, and what the same command makes of it afterwards.

    python -m bench.kills [--staging 50] [--training 20] [--repro 20] [--seed 1]

Three small projects, made for it: `foalnet shards` over four dialogues (one damaged, so that ffmpeg's process decodes
it), `foalnet train` of five folds that write a state every tenth of a second, and `dvc repro` of the same staging with
`foalnet mend` before it, of which DVC alone is killed. Each is run once undisturbed. Then a run
is killed, started again, often killed again, until one comes to its end: a chain. Half of the moments are uniform in
the time of an undisturbed run, half come at most 20 ms after a random change in the folders that are written to. A
third of the chains begin over what a whole run with other params left there, "yesterday".

After every second kill the command is started again at once, while processes of the killed run may still live and hold
the lock: a run that is refused by that lock's name with exit code 4 is counted and tried again. After the others: no
process is left alive, every name outside work/ has bytes that one of the two days gave it, and where the marker is
there that is written last (index.json, train.json) all that is published, accounts too, is of one day; after some of
them `foalnet gc` leaves nothing unfinished in work/. At the end of a chain the same command runs undisturbed: no
process is left, what stands outside work/ is byte by byte the expected, and after `foalnet gc` work/ holds no file or
folder more than it should.

Anything else is a difference: it is printed, and the exit code is 1. So it is where the storm itself shows little: most
kills came before the run had its lock, or ten and more hit fewer than three phases of a run. The same seed gives the
same moments; what stands there at a moment is up to the machine.
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

from bench.storm import BEFORE_LOCK, Road, Storm, Tally, environment, made
from foalnet.config.load import runs_of
from foalnet.config.yamls import read_yaml
from foalnet.core.paths import HEADLINE, Paths
from foalnet.shards import INDEX

FOALNET, DVC = (sys.executable, "-m", "foalnet"), (sys.executable, "-m", "dvc")
# The stages of the real dvc.yaml as far as this road goes, without the code's own files.
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


def staging() -> Road:
    """Return the road of `foalnet shards` over four small dialogues, one with a hole in its video."""
    from tests.clips_tree import lay_tree

    def lay(home: Path) -> None:
        root = lay_tree(home.parent / "root", DIALOGUES)
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

    return Road(
        name="staging",
        command=(*FOALNET, "shards", "tiny"),
        marker=f"data/tiny/shards/{INDEX}",
        lay=lay,
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


def training() -> Road:
    """Return the road of `foalnet train` over five folds of a synthetic corpus."""

    def lay(home: Path) -> None:
        from tests.stores import make_store, write_corpus, write_params

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
        params["runs"] = runs_of("drawn", ["foal"], [1], [HEADLINE])
        (home / "params.yaml").write_text(yaml.safe_dump(params))

    return Road(
        name="training",
        command=(*FOALNET, "train", "drawn", "--variant", "foal", "--seed", "1"),
        marker="models/drawn/foal-s1/train.json",
        lay=lay,
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


def repro() -> Road:
    """Return the road of `dvc repro`, as `make run` has it, over the staging of the four small dialogues."""
    below = staging()

    def lay(home: Path) -> None:
        below.lay(home)
        (home / "dvc.yaml").write_text(yaml.safe_dump({"stages": GRAPH}, sort_keys=False))
        # What the verbs wrote already is made by DVC now.
        shutil.rmtree(home / "data" / "tiny")
        for command in (["init", "--no-scm", "-q"], ["config", "core.analytics", "false"]):
            subprocess.run([*DVC, *command], cwd=home, env=environment(home), check=True, stdout=subprocess.DEVNULL)

    return replace(
        below,
        name="repro",
        command=("/bin/sh", "-c", f"{shlex.join([*FOALNET, 'mend'])} && exec {shlex.join(DVC)} repro"),
        lay=lay,
        refused=255,
        env=below.env | {"SHELL": "/bin/sh", "DVC_NO_ANALYTICS": "1"},
    )


ROADS = {"staging": staging, "training": training, "repro": repro}


def storm(kills: dict[str, int], seed: int, say: Callable[[str], None]) -> dict[str, Tally]:
    """Kill each road so often and return the tallies by its name."""
    found: dict[str, Tally] = {}
    for name, count in kills.items():
        if count:
            with tempfile.TemporaryDirectory(prefix="kills-") as folder:
                # A stream for each road: the moments of one do not hang on the other's.
                dice = random.Random(f"{seed} {name}")  # noqa: S311
                found[name] = Storm(ROADS[name](), Path(folder), dice, say).run(count)
    return found


def lines(found: dict[str, Tally]) -> list[str]:
    """Return the tally in words."""
    told = []
    for name, tally in found.items():
        told.append(f"{name}: {tally.killed} kills, {len(tally.faults)} differences")
        told += [f"  {count:3d} {phase}" for phase, count in sorted(tally.kills.items())]
        chains = ", ".join(f"{count} of {length}" for length, count in sorted(tally.chains.items()))
        told.append(f"  chains of kills: {chains}; runs that ended before their moment: {tally.missed}")
        told.append(
            f"  run again at once after {tally.at_once} kills; refused by the lock, tried again: {tally.refused}"
        )
        told.append(f"  work/ swept between kills {tally.sweeps} times, and at the end of every chain")
        told += [f"  DIFFERENCE {fault}" for fault in tally.faults]
        told += [f"  WEAK STORM {fault}" for fault in tally.weak]
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    """Storm and print; 1 where anything differed or the storm showed little."""
    parser = argparse.ArgumentParser(prog="python -m bench.kills", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--staging", type=int, default=50, help="kills of `foalnet shards`")
    parser.add_argument("--training", type=int, default=20, help="kills of `foalnet train`")
    parser.add_argument("--repro", type=int, default=20, help="kills of `dvc repro`")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)

    def say(line: str) -> None:
        print(line, flush=True)

    say(f"seed {asked.seed}")
    found = storm({"staging": asked.staging, "training": asked.training, "repro": asked.repro}, asked.seed, say)
    for line in lines(found):
        say(line)
    return 1 if any(tally.faults or tally.weak for tally in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
