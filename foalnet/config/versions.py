"""The two versions of the method, param by param: the released code's values and the corrected defaults.

`make snapshots` writes the rows to the table of docs/method.md. Some params with the same value in both are listed
too. An ablation switches one row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foalnet.config.space import nested


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row: the path of a param, its value in each version, and what the released code does."""

    param: str
    released: Any
    corrected: Any
    says: str


DIFFERENCES: tuple[Row, ...] = (
    Row(
        param="train.audio.input_norm",
        released="none",
        corrected="config",
        says="sound at raw amplitude: the encoder's feature extractor is built and never applied",
    ),
    Row(
        param="train.audio.front",
        released="batch",
        corrected="alone",
        says="the encoder gets the padded batch: where it has group norm, padding has a say (WavLM-large has none)",
    ),
    Row(
        param="train.audio.attention",
        released="library",
        corrected="fused",
        says="the encoder's attention is its library's, step by step: the same but for rounding",
    ),
    Row(param="train.max_s", released=6.0, corrected=10.0, says="the first 6 s are heard and seen"),
    Row(param="train.frame_step", released=1, corrected=6, says="every frame is seen"),
    Row(param="train.buckets", released=1, corrected=16, says="batches are drawn without regard to length"),
    Row(param="train.pad_to", released="max_s", corrected="longest", says="always padded to 6 s"),
    Row(
        param="methods.foal.temperature",
        released="divisor",
        corrected="scale",
        says="similarities are divided by a learnable number that starts at ln(1/0.07) = 2.659",
    ),
    Row(
        param="methods.foal.positives",
        released="sum",
        corrected="mean",
        says="a row's positives are summed, not divided by their number: at the same alpha AVEL weighs as many times "
        "more, 4.75 on average in a balanced batch of 16 of four classes (1 + 15 / 4)",
    ),
    Row(
        param="methods.foal.gather_grad",
        released=False,
        corrected=True,
        says="several processes: what is gathered carries no gradient, not even a process' own copy",
    ),
    Row(
        param="methods.foal.no_negative",
        released="positives",
        corrected="leave_out",
        says="in a batch of one class positives are drawn as negatives; scores are masked with -10000",
    ),
    Row(
        param="methods.foal.matched_pass",
        released="twice",
        corrected="shared",
        says="the own pair is fused once for MEM and once for the classifier, with two dropout draws",
    ),
    Row(
        param="methods.foal.masking",
        released="minus_10000",
        corrected="exact",
        says="scores of padded keys are replaced by -10000: an utterance without a key attends to its padding",
    ),
    Row(
        param="train.audio.spec_augment",
        released=None,
        corrected=None,
        says="SpecAugment acts in training as the encoder's config says",
    ),
    Row(param="train.audio.layerdrop", released=None, corrected=None, says="so does layerdrop"),
    Row(
        param="train.audio.dropout",
        released=None,
        corrected=None,
        says="`final_dropout` of the encoder's config, on the sound's states",
    ),
    Row(param="train.video.dropout", released=None, corrected=None, says="the same on the picture's features"),
    Row(param="methods.foal.head_dropout", released=None, corrected=None, says="and before the classifier"),
    Row(param="methods.single.head_dropout", released=None, corrected=None, says="and before that of one modality"),
    Row(
        param="train.init",
        released="normal",
        corrected="torch",
        says="new layers start as the encoder's library does: N(0, 0.02), biases 0, norms 1 and 0",
    ),
    Row(param="train.lr", released=1e-4, corrected=1e-4, says="of every parameter"),
    Row(param="train.lr_encoder", released=None, corrected=2e-5, says="the pretrained encoder's is the same"),
    Row(
        param="train.schedule",
        released="constant",
        corrected="cosine",
        says="a schedule is built and never stepped",
    ),
    Row(param="train.weight_decay", released=0.01, corrected=0.01, says="torch's default"),
    Row(param="train.decay_on", released="all", corrected="weights", says="every parameter decays"),
    Row(param="train.clip_norm", released=None, corrected=1.0, says="gradients are not clipped"),
    Row(param="train.precision", released="fp16", corrected="auto", says="fp16 autocast"),
    Row(
        param="train.sampler",
        released="balanced",
        corrected="balanced",
        says="with replacement, weight 1 / class count",
    ),
    Row(param="train.epochs", released=40, corrected=40, says="30 before 2025-01"),
    Row(
        param="train.patience",
        released=40,
        corrected=8,
        says="no early stop; the best epoch is chosen on the tested session (protocol `paper_best_on_test`)",
    ),
    Row(param="methods.foal.alpha", released=1.0, corrected=1.0, says="weight of AVEL"),
    Row(param="methods.foal.beta", released=0.1, corrected=0.1, says="weight of MEM; 1.0 before 2024-09-25"),
)


# Rows that belong to the paper's recipe or to its pretrained encoder; other corpora and encoders have their own values.
RECIPE = frozenset(
    {"train.audio.spec_augment", "train.audio.layerdrop", "train.audio.dropout", "train.video.dropout"}
    | {"train.frame_step", "train.lr", "train.lr_encoder", "train.weight_decay", "train.epochs", "train.patience"}
    | {"methods.foal.head_dropout", "methods.single.head_dropout", "methods.foal.alpha", "methods.foal.beta"}
)


def version(*, released: bool, recipe: bool = True) -> dict[str, Any]:
    """Return the blocks `train` and `methods` of one version, nested, with only the params of the table.

    `recipe=False` omits the numbers of the paper's recipe, so that the rest fits any encoder (preset `paper_quirks`).

    >>> version(released=True)["train"]["max_s"], version(released=False)["train"]["max_s"]
    (6.0, 10.0)
    """
    rows = [row for row in DIFFERENCES if recipe or row.param not in RECIPE]
    return nested({row.param: row.released if released else row.corrected for row in rows})


def in_memory(blocks: Mapping[str, Any]) -> dict[str, Any]:
    """Return the blocks `train` and `methods` of params.yaml as `blocks.Train` has them, in one."""
    return {**blocks.get("train", {}), "methods": dict(blocks.get("methods", {}))}
