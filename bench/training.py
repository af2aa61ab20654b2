"""Compares the speed of training with the released recipe, each gain by itself, as ratios in one run.

    python -m bench.training --table TABLE [--device cuda --encoder large --batch 16,64] [--rounds 3]

TABLE has one utterance per row with columns start_s and end_s, tab-separated. Weights are random, sound is noise of the
true lengths, data loading is excluded. Each arm adds one change to the arm before it, from the released code to this
project's; arms take turns, and the fastest round of each counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.workload import batches, made_up
from foalnet.config.blocks import Train
from foalnet.config.load import merge
from foalnet.config.versions import in_memory, version
from foalnet.encoders import Pretrained
from foalnet.methods import FoalNet, Objective, build_net
from foalnet.nets import Batch
from foalnet.train.batches import Store
from foalnet.train.environment import determined
from foalnet.train.optim import optimizer, take_step
from foalnet.train.precision import Precision

CROP_S, DIMS = 6.0, 768
# What the published configs set beyond the library's defaults (its defaults are the base architecture).
CONFIGS: dict[str, dict[str, Any]] = {
    "base": {},
    # For tests of this script.
    "tiny": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "conv_dim": [16] * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
    },
    "large": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
        "conv_bias": False,
    },
}
NET: dict[str, Any] = {
    "picture": "features",
    "frame_step": 1,
    "audio": {"encoder": "wavlm_large"},
    "video": {"encoder": "identity", "width": DIMS},
    "methods": {"foal": {"layers": 2, "heads": 4, "dropout": 0.1, "project": 512, "project_dropout": 0.5}},
}


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to train, given by the params that it changes in the previous arm."""

    name: str
    change: dict[str, Any]
    compiled: bool = False


def arms(device: str) -> list[Arm]:
    """Return the arms, each on top of the previous one; reduced precision and compilation only on a GPU."""
    plain = {"precision": "fp32"} if device == "cpu" else {}
    corrected = in_memory(version(released=False)) | {"max_s": CROP_S}
    steps = [
        Arm(name="released", change=plain),
        Arm(name="padding: to the longest", change={"pad_to": "longest", "audio": {"front": "alone"}}),
        Arm(name="padding: buckets", change={"buckets": corrected["buckets"]}),
        Arm(name="matched pass: shared", change={"methods": {"foal": {"matched_pass": "shared"}}}),
        Arm(name="attention: fused", change={"audio": {"attention": "fused"}}),
    ]
    if device != "cpu":
        steps.append(Arm(name="precision: bf16", change={"precision": "bf16"}))
    steps.append(Arm(name="corrected: the rest", change=merge(corrected, plain)))
    if device != "cpu":
        steps.append(Arm(name="compile", change={}, compiled=True))
    return steps


class Bench:
    """One prepared arm: its network, optimiser and batches on the device."""

    def __init__(self, arm: Arm, params: Train, store: Store, encoder: str, size: int, device: torch.device) -> None:
        self.arm, self.device = arm, device
        torch.manual_seed(0)
        weights = Pretrained(name="wavlm_large", sha256="", config=CONFIGS[encoder], preprocessor={})
        net = build_net("foal", params, classes="abcd", shape=store.shape, pretrained=weights)
        assert isinstance(net, FoalNet)
        self.net = net.to(device).train()
        if arm.compiled:
            tuned: Any = self.net.encoders["audio"].tuned
            tuned.encoder.forward = torch.compile(tuned.encoder.forward, dynamic=True)
        self.optim = optimizer(self.net, params)
        self.objective = Objective()
        self.precision = Precision.of(params.precision, device)
        self.params, self.rates = params, list[float]()
        self.batches = [batch.to(device) for batch in batches(store, params, size=size)]
        samples = sum(batch.raw["audio"].values_BTD.numel() for batch in self.batches)
        self.padding = 1.0 - sum(int(batch.raw["audio"].mask_BT.sum()) for batch in self.batches) / samples
        self.utterances = sum(len(batch.raw["audio"].values_BTD) for batch in self.batches)

    def step(self, batch: Batch) -> None:
        """Take one step of training."""
        take_step(
            self.net,
            batch,
            self.objective,
            self.optim,
            lr=1e-5,
            clip_norm=self.params.clip_norm,
            precision=self.precision,
        )

    def round(self) -> None:
        """Time one pass over all batches."""
        _wait(self.device)
        began = time.perf_counter()
        for batch in self.batches:
            self.step(batch)
        _wait(self.device)
        self.rates.append(self.utterances / (time.perf_counter() - began))

    @property
    def rate(self) -> float:
        """Utterances per second of the fastest round; other programs may have slowed the others."""
        return max(self.rates)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def prepared(encoder: str, size: int, device: torch.device, store: Store) -> list[Callable[[], Bench]]:
    """Return a function that prepares each arm; on a GPU only one arm is in memory at a time."""
    block = merge(NET | {"batch_size": size}, in_memory(version(released=True)))
    made: list[Callable[[], Bench]] = []
    for arm in arms(device.type):
        block = merge(block, arm.change)
        params = Train.model_validate(merge(block, {"audio": {"layerdrop": 0.0, "spec_augment": 0.0}}))
        made.append(partial(Bench, arm, params, store, encoder, size, device))
    return made


def measure(encoder: str, size: int, device: torch.device, store: Store, rounds: int) -> list[dict[str, Any]]:
    """Return a row per arm; on a CPU the arms take turns, on a GPU each runs its rounds alone."""
    makers, rows = prepared(encoder, size, device, store), []
    if device.type == "cpu":
        ready = [make() for make in makers]
        for each in ready:
            each.step(each.batches[0])
        for _ in range(rounds):
            for each in ready:
                each.round()
        return [row(each) for each in ready]
    for make in makers:
        each = make()
        for batch in each.batches:
            each.step(batch)
        torch.cuda.reset_peak_memory_stats(device)
        for _ in range(rounds):
            each.round()
        rows.append(row(each) | gpu_row(each))
        del each
        torch.cuda.empty_cache()
    return rows


def row(bench: Bench) -> dict[str, Any]:
    """Return the measured figures of one arm."""
    return {"arm": bench.arm.name, "rate": bench.rate, "padding": bench.padding, "rounds": bench.rates}


def gpu_row(bench: Bench) -> dict[str, Any]:
    """Return peak memory, and the matrix rate of a training step as a share of the card's measured bf16 rate."""
    from torch.utils.flop_counter import FlopCounterMode

    peak = torch.cuda.max_memory_allocated(bench.device)
    if bench.arm.compiled:
        return {"peak_gib": peak / 2**30}
    with FlopCounterMode(display=False) as counter:
        for batch in bench.batches:
            bench.step(batch)
    reached = counter.get_total_flops() * bench.rate / bench.utterances
    return {"peak_gib": peak / 2**30, "share": reached / matrix_rate(bench.device)}


def matrix_rate(device: torch.device, side: int = 8192, repeats: int = 30) -> float:
    """Return the operations per second of a large bf16 product on this card."""
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    _wait(device)
    began = time.perf_counter()
    for _ in range(repeats):
        a @ a
    _wait(device)
    return 2 * side**3 * repeats / (time.perf_counter() - began)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the arms as a table: each one's gain over the previous arm, and the total gain."""
    lines = ["arm                        utt/s  padding %    gain  in all  peak GiB  share of bf16 %"]
    before = rows[0]["rate"]
    for each in rows:
        more = f"{each['peak_gib']:>8.1f}" if "peak_gib" in each else f"{'-':>8}"
        more += f"  {100 * each['share']:>15.1f}" if "share" in each else f"  {'-':>15}"
        lines.append(
            f"{each['arm']:<24}  {each['rate']:>6.2f}  {100 * each['padding']:>9.1f}  {each['rate'] / before:>5.2f}x"
            f"  {each['rate'] / rows[0]['rate']:>5.2f}x  {more}"
        )
        before = each["rate"]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the bench and print its tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__)
    parser.add_argument("--table", type=Path, required=True, help="utterances with start_s and end_s, tab-separated")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--encoder", default="base", choices=list(CONFIGS))
    parser.add_argument("--batch", default="8", help="batch sizes, separated by commas")
    parser.add_argument("--batches", type=int, default=6, help="batches a round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(argv)
    device = torch.device(args.device)
    with determined("seeded", args.threads):
        for size in map(int, args.batch.split(",")):
            store = made_up(args.table, utterances=size * args.batches, crop_s=CROP_S, dims=DIMS, seed=1)
            name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{args.threads} threads"
            print(f"WavLM-{args.encoder}, batch {size}, {size * args.batches} utterances, {name}")
            print(table(measure(args.encoder, size, device, store, args.rounds)), flush=True)


if __name__ == "__main__":
    main()
