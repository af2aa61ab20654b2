"""Stand-ins for the verbs: the same outputs by name, in milliseconds, and failures to order.

`toy.json` in the project's folder maps a stage to what its next calls do: an exit code, a signal as a negative
number, or "sleep" (with a grandchild in a session of its own that ignores SIGTERM). Each call is noted in `calls.txt`.
A run in a git worktree takes its orders from the project that the worktree belongs to, and notes its calls there.
`toy_results.json` maps an output to what is written instead of the usual content.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from foalnet.artifact.results import write_results
from foalnet.artifact.seal import sealed_bytes
from foalnet.core.paths import Paths

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"

LEDGER = {"kept": 40, "dropped/wav_missing": 1}
ENTRIES = [{"kind": "dropped", "item": "Ses01F_impro01_F000", "reason": "wav_missing", "detail": "a|b"}]
SCORES = {"ua": 0.5, "ua_low": 0.4, "ua_high": 0.6, "wa": 0.7, "wa_low": 0.6, "wa_high": 0.8, "macro_f1": 0.55}
CONTENT = {
    ("manifest", "counts.json"): {"ledger": LEDGER, "entries": ENTRIES},
    ("shards", "staging.json"): {
        "ledger": {"counts": {"kept": 39}, "entries": []},
        "utterances": {"staged": 39, "dropped": 0},
    },
    ("evaluate", "metrics.json"): {"classes": ["happy", "sad"], "pooled": {"confusion": [[3, 1], [0, 4]]}},
    ("report", "metrics.json"): {
        "level": 0.95,
        "protocol": "loso_dev_session",
        "classes": 2,
        "data": {"utterances": 8, "speakers": 2},
        "variants": {"foal": SCORES | {"ua_best_possible": 0.9}, "audio_only": SCORES},
        "differences": {
            "foal_minus_audio_only": {
                "ua": 0.1,
                "ua_low": -0.1,
                "ua_high": 0.3,
                "ua_p": 0.25,
                "ua_detectable": 0.2,
                "ua_d_z": 0.9,
                "verdict": "not decided",
                "only_a": 3,
                "only_b": 1,
            }
        },
    },
}


def of_run(paths: Paths, variant: str, seed: int) -> dict[str, Any]:
    """What a run's metrics say of themselves."""
    said = {"corpus": paths.corpus, "variant": variant, "seed": seed, "protocol": "loso_dev_session"}
    return said | {"cluster": "dialogue"}


def home() -> Path:
    """The folder of the orders: this one, or the one whose worktree this is."""
    git = Path(".git")
    return Path(git.read_text().split()[1]).parents[2] if git.is_file() else Path()


def content(verb: str, out: Path, stage: str) -> dict[str, Any]:
    orders = home() / "toy_results.json"
    given = json.loads(orders.read_text()) if orders.exists() else {}
    return given.get(out.as_posix()) or CONTENT.get((verb, out.name), {"of": stage})


def misbehave(stage: str) -> None:
    orders = home() / "toy.json"
    plans = json.loads(orders.read_text()) if orders.exists() else {}
    if not plans.get(stage):
        return
    order = plans[stage].pop(0)
    orders.write_text(json.dumps(plans))
    if order == "sleep":
        child = subprocess.Popen([sys.executable, "-c", STUBBORN], start_new_session=True, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        # By rename: who sees the file can read both numbers.
        (home() / "pids.tmp").write_text(f"{os.getpid()} {child.pid}")
        (home() / "pids.tmp").rename(home() / "pids.txt")
        time.sleep(600)
    elif isinstance(order, list):
        print(*order, sep="\n", file=sys.stderr, flush=True)
    elif order < 0:
        os.kill(os.getpid(), -order)
    else:
        sys.stderr.write(f"foalnet: failing with {order}, as ordered\n")
        sys.exit(order)


def main() -> None:
    stage = os.environ["DVC_STAGE"]
    with (home() / "calls.txt").open("a") as calls:
        calls.write(f"{stage}\n")
    misbehave(stage)
    verb, corpus, rest = sys.argv[1], *(sys.argv[2:3] or ["drawn"]), sys.argv[3:]
    paths = Paths(corpus)
    variant, seed = (rest[1], int(rest[3])) if rest else ("", 0)
    outs = {
        "draw": [paths.data / "raw" / "a.txt"],
        "inventory": [paths.inventory],
        "manifest": [paths.manifest, paths.manifest_digest, paths.counts],
        "shards": [paths.shards / "index.json", paths.staging],
        "features": [paths.features / "index.json", paths.features / "text" / "index.json"],
        "train": [paths.model(variant, seed) / "train.json"],
        "evaluate": [paths.run(variant, seed) / "metrics.json"],
        "final": [paths.final / "card.json"],
        "report": [
            *(paths.report_html, paths.report_md, paths.scores_svg, paths.curves_svg),
            *(paths.headline, paths.metrics),
        ],
    }[verb]
    for out in outs:
        out.parent.mkdir(parents=True, exist_ok=True)
        if verb == "evaluate":
            write_results(out.parent, [], content(verb, out, stage) | of_run(paths, variant, seed))
            continue
        out.write_bytes(sealed_bytes(out.name, content(verb, out, stage)))
    sys.stdout.write(f"{verb}: made as ordered\n")


if __name__ == "__main__":
    main()
