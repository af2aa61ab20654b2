"""Runs a study of the fusions in a clone of this checkout; prints its board, time and memory.

    python -m bench.study drawn
    python -m bench.study drawn --world few --variants baseline,avel,mem,foal
    python -m bench.study ravdess --root FOLDER       # or: FOALNET_SHARED_DATA=PARENT python -m bench.study ravdess
    python -m bench.study ravdess --root FOLDER --classes 4
    python -m bench.study drawn --variants concat,foal,jmt --seeds 2 --search 4
    python -m bench.study meld --root FOLDER
    python -m bench.study ravdess --seeds 2 --variants audio_only,foal,gmu --keep CLONE

`drawn`: the drawn corpus, with the settings of its entry (encoders of the single modalities, frozen); a world of WORLDS
is drawn by other shares. `ravdess`: eight classes, or the four of `bench.ravdess` (neutral without calm, happy, sad,
angry), sound as functionals and the table of action units; FOLDER as for `bench.ravdess`. `meld`: the three tables,
text alone, words learned from scratch. One recipe for all methods, but for RATES, which a search replaces. The clone of
`--keep` stays there, and the same command resumes.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.first_run import HOME, folder_of
from bench.meld import TEXT, TRAIN, run
from bench.ravdess_data import CLASSES
from foalnet.config.yamls import read_yaml
from foalnet.core.files import json_bytes, publish_bytes

NAME = "rivals"
FUSIONS = (
    "audio_only", "video_only", "baseline", "foal", "concat", "gmu", "fbp", "jmt", "gban_av", "m2fnet_clip",
    "ecmf_style", "aimdit_style", "mpt_style", "text_prompts",
)  # fmt: skip
MORE = {"drawn": ("hfg_style", "jmt_va")}
# What each fusion is worth beyond the floor of all, and beyond the sound alone.
COMPARE = [["concat", "audio_only"], ["baseline", "concat"], ["gmu", "concat"]]
WIDTH, SEGMENTS, ALL_FOLDS = 64, 8, 1024
# With `redundant` sound and face of every utterance show its class: what alignment and matching teach is true of every
# pair. `few` has 14 utterances a session of it.
_REDUNDANT = {"share_both": 1.0, "share_sound": 0.0, "share_face": 0.0, "share_interaction": 0.0}
WORLDS: dict[str, dict[str, float | int]] = {
    "mixed": {}, "redundant": _REDUNDANT, "few": {**_REDUNDANT, "dialogues_per_session": 1}
}  # fmt: skip
# The L2 norm after its signed square root makes small steps of FBP's gradients; JMT has no norm that bounds them.
RATES = {"ravdess": {"fbp": 0.01}, "drawn": {"jmt": 0.001, "jmt_va": 0.001}}


def main() -> None:
    """Clone, add corpus and study, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", choices=["drawn", "ravdess", "meld"])
    parser.add_argument("--root", type=Path, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds [5]")
    parser.add_argument("--variants", help="what is trained [those of this bench]")
    parser.add_argument("--world", choices=WORLDS, default="mixed", help="of the drawn corpus [mixed]")
    parser.add_argument("--classes", default="all", help="of ravdess: 4, or as add-corpus takes them [all eight]")
    parser.add_argument("--search", type=int, default=0, help="points that each variant tries before, on all folds [0]")
    parser.add_argument("--epochs", type=int, help="largest number of epochs of a fold [that of the corpus]")
    parser.add_argument("--keep", type=Path, metavar="CLONE", help="clone to here and leave it")
    arguments = parser.parse_args()
    shared = os.environ.get("FOALNET_SHARED_DATA")
    drawn = arguments.corpus == "drawn"
    root = None if drawn else arguments.root or (Path(shared) / arguments.corpus if shared else None)
    if root is None and not drawn:
        parser.error("--root: give the corpus' folder")
    with folder_of(arguments.keep) as folder:
        if not (folder / ".git").exists():
            subprocess.run(["git", "clone", "-q", str(HOME), str(folder)], check=True)
            add(folder, root, arguments)
        began = time.monotonic()
        run(folder, "dvc", "repro", f"study@{NAME}")
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        print((folder / "reports" / arguments.corpus / "studies" / NAME / "board.md").read_text())
        print(
            f"{time.monotonic() - began:.0f} s of wall, {spent.ru_utime + spent.ru_stime:.0f} CPU s, "
            f"largest process {spent.ru_maxrss / 2**20:.2f} GiB"
        )


def classes_of(given: str) -> str:
    """Return the classes of RAVDESS for `add-corpus`, of a number of them those of bench.ravdess.

    >>> classes_of("4")
    'neutral,happy,sad,angry'
    >>> classes_of("happy=happy+calm,sad")
    'happy=happy+calm,sad'
    """
    return ",".join(CLASSES[int(given)]) if given.isdecimal() and int(given) in CLASSES else given


def add(folder: Path, root: Path | None, arguments: argparse.Namespace) -> None:
    """Add the corpus, unless it is the drawn one, and the study to the clone's params."""
    corpus = arguments.corpus
    if root is not None:
        more = ("--variants", "text_only") if corpus == "meld" else ("--classes", classes_of(arguments.classes))
        run(folder, "foalnet", "add-corpus", corpus, "--root", str(root.resolve()), "--name", corpus, *more)
    path = folder / "params.yaml"
    params = read_yaml(path)
    params["draw"].update(WORLDS[arguments.world])
    study: dict[str, Any] = {"corpus": corpus, "seeds": list(range(1, arguments.seeds + 1))}
    if corpus == "meld":
        params["corpora"][corpus]["train"].update(TRAIN | TEXT["meld_hashed"]["train"])
        study |= {"variants": ["text_only", "text_turns", "lmam_text"], "reference": "text_only"}
    else:
        study |= {"variants": [*FUSIONS, *MORE.get(corpus, ())], "reference": "foal"}
        own = params["corpora"][corpus].setdefault("methods", {})
        for name in {params["variants"][variant]["method"] for variant in study["variants"]} - {"single", "foal"}:
            small = {"width": WIDTH, "segments": SEGMENTS}
            own[name] = {
                **own.get(name, {}),
                **{key: value for key, value in small.items() if key in params["methods"][name]},
            }
    if arguments.variants:
        study["variants"] = arguments.variants.split(",")
        if study["reference"] not in study["variants"]:
            study["reference"] = study["variants"][-1]
    study["compare"] = [pair for pair in COMPARE if set(pair) <= set(study["variants"])]
    if arguments.search:
        study |= {"search": arguments.search, "search_folds": ALL_FOLDS}
    else:
        study["settings"] = {
            variant: {"lr": rate} for variant, rate in RATES.get(corpus, {}).items() if variant in study["variants"]
        }
    if arguments.epochs:
        study["train"] = {"epochs": arguments.epochs}
    params["studies"] = {NAME: study}
    # YAML reads JSON.
    publish_bytes(path, json_bytes(params))


if __name__ == "__main__":
    main()
