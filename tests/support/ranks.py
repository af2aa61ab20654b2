"""Code that several processes run together, as torchrun starts them: gloo over a file, no port.

python -m tests.support.ranks FOLDER RANK RANKS CASES
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from foalnet.config.variants import VARIANTS, Variant
from foalnet.methods import Method, Objective, build_net
from foalnet.nets import Batch, InputShape
from foalnet.train.batches import collate
from tests.support.corpus.stores import CLASSES, DIMS, RATE_HZ, blind, make_params, make_store, put

RANKS = 2
FUSIONS = {name: Variant(method=name, inputs=["audio", "video"]) for name in ("ecmf_style", "mpt_style")}
# Each: the variant, its method's params, the labels of its clips, and those without a picture.
CASES: dict[str, dict[str, Any]] = {
    "avel": {"variant": "avel", "labels": [0, 1, 0, 2, 1, 0]},
    "foal": {"variant": "foal", "labels": [0, 1, 0, 2, 1, 0]},
    # Each process sees one class alone: its negatives are all the other's.
    "one class each": {"variant": "foal", "labels": [0, 0, 0, 1, 1, 1]},
    # One class over all: no pair at all, on no process.
    "one class": {"variant": "foal", "labels": [2] * 6},
    "pictures": {"variant": "foal", "labels": [0, 1, 0, 2, 1, 3], "bare": [1, 3, 5]},
    "no picture on one": {"variant": "foal", "labels": [0, 1, 0, 2, 1, 3], "bare": [0, 1, 2]},
    "weights": {"variant": "foal", "labels": [0, 1, 0, 2, 1, 3], "weights": [1.0, 2.0, 0.5, 3.0]},
    # The contrastive losses, with a row on each process that has its class alone.
    "ecmf_style": {"variant": "ecmf_style", "labels": [0, 1, 3, 2, 1, 0], "config": {"width": 8}},
    "mpt_style": {"variant": "mpt_style", "labels": [0, 1, 3, 2, 1, 0], "config": {"width": 8}},
    "released": {
        "variant": "foal",
        "labels": [0, 1, 0, 2, 1, 0],
        "config": {"gather_grad": False, "positives": "sum", "temperature": "divisor"},
    },
    # One candidate a row, on the other process.
    "released negatives": {
        "variant": "mem",
        "labels": [0, 1],
        "config": {"gather_grad": False, "no_negative": "positives", "matched_pass": "twice"},
    },
}


def cut(case: dict[str, Any], first: int, last: int) -> Batch:
    """Rows first to last of the case's batch, padded among themselves alone."""
    store = make_store(groups=2, per_group=4, frame=(DIMS,), seed=3).store
    clips = list(store.clips.values())[: len(case["labels"])]
    for row in case.get("bare", []):
        clips[row] = blind(clips[row])
    labels = {clip.key: label for clip, label in zip(clips, case["labels"], strict=True)}
    return collate(clips[first:last], labels)


def network(case: dict[str, Any]) -> tuple[Method, Objective]:
    """The case's network in float64 without dropout, the same on every process, and its objective."""
    variants = VARIANTS | FUSIONS
    methods = {variants[case["variant"]].method: case.get("config", {})}
    params = make_params(video={"encoder": "linear"}, methods=methods, variants=variants)
    torch.manual_seed(1)
    net = build_net(case["variant"], params, classes=CLASSES, shape=InputShape(rate_hz=RATE_HZ, frame=(DIMS,))).double()
    # Statistics over a batch are no business of the objective: both sides take those of training.
    net.eval()
    weights = torch.tensor(case["weights"], dtype=torch.float64) if "weights" in case else None
    return net, Objective(class_weight_C=weights)


def doubled(batch: Batch) -> Batch:
    """The batch in float64."""
    for modality, steps in batch.raw.items():
        batch = put(batch, modality, values=steps.values_BTD.double())
    return batch


def learn(case: dict[str, Any], batch: Batch) -> tuple[dict[str, float | int], dict[str, Tensor]]:
    """The loss of a batch with its parts, and every parameter's gradient."""
    net, objective = network(case)
    batch = doubled(batch)
    assert batch.label_B is not None
    torch.manual_seed(2)
    loss = objective(net, net(batch), batch.label_B)
    loss.total.backward()
    values: dict[str, float | int] = {
        "total": float(loss.total.detach()),
        "negatives": loss.counts.get("pairs_without_negative", 0),
        "videos": loss.counts.get("pairs_without_video", 0),
    }
    return values, {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


def together(folder: Path, *cases: tuple[str, int]) -> dict[tuple[str, int], tuple[dict[str, Any], dict[str, Tensor]]]:
    """Run cases one after the other in two processes, the first `split` rows of each in the first.

    Return (name, split) -> (mean loss with its parts, mean gradients).
    """
    command = [sys.executable, "-m", "tests.support.ranks", str(folder)]
    staff = [
        subprocess.Popen([*command, str(rank), json.dumps(cases)], stderr=subprocess.PIPE, text=True)
        for rank in range(RANKS)
    ]
    for each in staff:
        _, said = each.communicate(timeout=300)
        assert each.returncode == 0, said
    values = json.loads((folder / "values.json").read_text())
    gradients = torch.load(folder / "gradients.pt", weights_only=True)
    return dict(zip(cases, zip(values, gradients, strict=True), strict=True))


def main(folder: Path, rank: int, cases: list[tuple[str, int]]) -> None:
    """Be one of the processes; the first writes what both computed."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=RANKS)
    results = [mean(rank, *case) for case in cases]
    if rank == 0:
        (folder / "values.json").write_text(json.dumps([values for values, _ in results]))
        torch.save([gradients for _, gradients in results], folder / "gradients.pt")
    dist.destroy_process_group()


def mean(rank: int, name: str, split: int) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Learn a process' rows of a case, and return the mean over the processes."""
    case = CASES[name]
    bounds = [0, split, len(case["labels"])]
    values, gradients = learn(case, cut(case, bounds[rank], bounds[rank + 1]))
    sums = torch.tensor([values["total"] / RANKS, values["negatives"], values["videos"]], dtype=torch.float64)
    dist.all_reduce(sums)
    for gradient in gradients.values():
        dist.all_reduce(gradient.div_(RANKS))
    total, negatives, videos = sums.tolist()
    return {"total": total, "negatives": negatives, "videos": videos}, gradients


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
