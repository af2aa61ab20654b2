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
        says="The sound keeps its raw amplitude: the code builds the encoder's feature extractor and never applies it.",
    ),
    Row(
        param="train.audio.front",
        released="batch",
        corrected="alone",
        says="The encoder gets the padded batch. In an encoder with group norm the padding changes the "
        "result (WavLM-large has no group norm).",
    ),
    Row(
        param="train.audio.attention",
        released="library",
        corrected="fused",
        says="The encoder's attention is that of its library, step by step; results differ only by rounding.",
    ),
    Row(
        param="train.max_s",
        released=6.0,
        corrected=10.0,
        says="The network gets the first 6 s of each utterance.",
    ),
    Row(
        param="train.frame_step",
        released=1,
        corrected=6,
        says="The network sees every frame.",
    ),
    Row(
        param="train.buckets",
        released=1,
        corrected=16,
        says="Batches are drawn without regard to length.",
    ),
    Row(
        param="train.pad_to",
        released="max_s",
        corrected="longest",
        says="The sound is always padded to 6 s.",
    ),
    Row(
        param="methods.foal.temperature",
        released="divisor",
        corrected="scale",
        says="Similarities are divided by a learnable number that starts at ln(1/0.07) = 2.659.",
    ),
    Row(
        param="methods.foal.positives",
        released="sum",
        corrected="mean",
        says="The loss sums over a row's positives and does not divide by their number. At the same alpha "
        "this multiplies AVEL by that number: 4.75 on average in a balanced batch of 16 with four "
        "classes (1 + 15 / 4).",
    ),
    Row(
        param="methods.foal.gather_grad",
        released=False,
        corrected=True,
        says="With several processes, the gathered embeddings carry no gradient, not even a process' own copy.",
    ),
    Row(
        param="methods.foal.no_negative",
        released="positives",
        corrected="leave_out",
        says="In a batch of one class, positives are drawn as negatives: their scores are replaced by "
        "-10000 and not excluded.",
    ),
    Row(
        param="methods.foal.matched_pass",
        released="twice",
        corrected="shared",
        says="The own pair passes through the fusion once for MEM and once for the classifier, with two dropout draws.",
    ),
    Row(
        param="methods.foal.masking",
        released="minus_10000",
        corrected="exact",
        says="The scores of padded keys are replaced by -10000. An utterance without a valid key therefore "
        "attends to its padding.",
    ),
    Row(
        param="train.audio.spec_augment",
        released=None,
        corrected=None,
        says="SpecAugment acts in training as the encoder's config says.",
    ),
    Row(
        param="train.audio.layerdrop",
        released=None,
        corrected=None,
        says="Layerdrop acts in training as the encoder's config says.",
    ),
    Row(
        param="train.audio.dropout",
        released=None,
        corrected=None,
        says="The sound's states get the dropout `final_dropout` of the sound encoder's config.",
    ),
    Row(
        param="train.video.dropout",
        released=None,
        corrected=None,
        says="The picture's features get the dropout `final_dropout` of the sound encoder's config.",
    ),
    Row(
        param="methods.foal.head_dropout",
        released=None,
        corrected=None,
        says="The classifier's input gets the dropout `final_dropout` of the sound encoder's config.",
    ),
    Row(
        param="methods.single.head_dropout",
        released=None,
        corrected=None,
        says="The input of a single modality's classifier gets the same dropout.",
    ),
    Row(
        param="train.init",
        released="normal",
        corrected="torch",
        says="New layers start as in the encoder's library: weights N(0, 0.02), biases 0, norms 1 and 0.",
    ),
    Row(
        param="train.lr",
        released=1e-4,
        corrected=1e-4,
        says="Every parameter has this learning rate.",
    ),
    Row(
        param="train.lr_encoder",
        released=None,
        corrected=2e-5,
        says="The pretrained encoder has the learning rate `train.lr`.",
    ),
    Row(
        param="train.schedule",
        released="constant",
        corrected="cosine",
        says="The code builds a schedule and never steps it, so the rate stays constant.",
    ),
    Row(
        param="train.weight_decay",
        released=0.01,
        corrected=0.01,
        says="AdamW has torch's default.",
    ),
    Row(
        param="train.decay_on",
        released="all",
        corrected="weights",
        says="Weight decay acts on every parameter.",
    ),
    Row(
        param="train.clip_norm",
        released=None,
        corrected=1.0,
        says="Gradients are not clipped.",
    ),
    Row(
        param="train.precision",
        released="fp16",
        corrected="auto",
        says="Training uses fp16 autocast.",
    ),
    Row(
        param="train.sampler",
        released="balanced",
        corrected="balanced",
        says="Samples are drawn with replacement, with weight 1 / class count.",
    ),
    Row(
        param="train.epochs",
        released=40,
        corrected=40,
        says="Training takes 40 epochs; before 2025-01 it took 30.",
    ),
    Row(
        param="train.patience",
        released=40,
        corrected=8,
        says="Training does not stop early. The code chooses the best epoch on the tested session "
        "(protocol `paper_best_on_test`).",
    ),
    Row(
        param="methods.foal.alpha",
        released=1.0,
        corrected=1.0,
        says="AVEL has the weight 1.0.",
    ),
    Row(
        param="methods.foal.beta",
        released=0.1,
        corrected=0.1,
        says="MEM has the weight 0.1; before 2024-09-25 it had 1.0.",
    ),
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
