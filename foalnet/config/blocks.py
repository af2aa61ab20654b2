"""The params blocks, one per stage: every key that can change a result, with its default and description."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, Strict, field_validator, model_validator

from foalnet.config.base import Frozen, nearest
from foalnet.config.variants import VARIANTS, Modality, Picture, Variant
from foalnet.core.errors import UsageError

# Every number has bounds that catch typing errors before anything runs. The upper bounds are far above useful values
# and below values that no machine can compute.
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
# A dropout of 1 would remove every input.
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]
Rate = Annotated[float, Field(gt=0.0, le=10.0)]
Seconds = Annotated[float, Field(gt=0.0, le=3600.0)]
# The range that the random generators of both numpy and torch accept.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Count = Annotated[int, Field(ge=1, le=10_000)]
Width = Annotated[int, Field(ge=1, le=8192)]
Step = Annotated[int, Field(ge=1, le=1000)]
# Label lines of a corpus.
Lines = Annotated[int, Field(ge=0, le=100_000_000)]
UpTo10 = Annotated[float, Field(ge=0.0, le=10.0)]
# A crop of 1024 pixels is 3 MB a frame before it is compressed.
Side = Annotated[int, Field(ge=16, le=1024)]
Even = Annotated[int, Field(ge=16, le=1024, multiple_of=2)]

# The value of one param.
Choice = bool | int | float | str | None

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

# docs/protocols.md describes each one. Two of them share one training run, the one without a dev part.
Protocol = Literal["loso_dev_session", "loso_fixed_epochs", "paper_best_on_test"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
Split = Literal["dev", "four"]
SPLITS: tuple[Split, ...] = get_args(Split)
# Splits of published work (foalnet.corpora.named, docs/protocols.md).
Named = Literal["iemocap4-loso", "iemocap6-erc-100-20-31", "gban-4490", "meld-official", "ravdess-luna5"]
FoldBy = Literal["session", "speaker", Named]
SPLIT_OF: dict[str, Split] = {"loso_dev_session": "dev", "loso_fixed_epochs": "four", "paper_best_on_test": "four"}


class Contract(Frozen):
    """The counts that a corpus must have; an empty mapping or None is not checked."""

    dialogues: dict[str, Lines] = Field(default_factory=dict, description="dialogues per session")
    utterances: Lines | None = Field(None, description="all label lines")
    raw_labels: dict[str, Lines] = Field(default_factory=dict, description="label lines per raw label")
    classes: dict[str, Lines] = Field(default_factory=dict, description="used utterances per class")
    used_by_session: dict[str, Lines] = Field(default_factory=dict, description="used utterances per session")


class Manifest(Frozen):
    """The mapping of raw labels to classes, and the contract of counts."""

    classes: Annotated[dict[str, Annotated[list[str], Field(min_length=1)]], Field(min_length=2)] = Field(
        description="class name -> raw labels merged into it, in class order"
    )
    contract: Contract | Literal["published"] | None = Field(
        None, description="'published': the reader's own counts; null: nothing is checked"
    )
    max_drop_fraction: Fraction = Field(0.02, description="largest accepted share of unusable label lines")
    turns: Literal["start", "transcript"] = Field(
        "start", description="order of a dialogue's utterances: by start time (ties by key), or as in the transcript"
    )
    labels: str | None = Field(
        None, description="cremad: acted, or as raters perceived the voice, the face or both; null: the reader's first"
    )

    @field_validator("classes")
    @classmethod
    def _each_label_once(cls, classes: dict[str, list[str]]) -> dict[str, list[str]]:
        place: dict[str, str] = {}
        for name, raws in classes.items():
            for raw in raws:
                if raw in place:
                    raise ValueError(f"the raw label '{raw}' is in class '{place[raw]}' and in class '{name}'")
                place[raw] = name
        return classes


class Shards(Frozen):
    """Staging: the conversion of a dialogue's files into one shard."""

    utterances: Literal["all", "used"] = "all"
    rate_hz: Literal[16000] = 16000
    channel: Literal["mean", "left", "right", "speaker"] | Count = Field(
        "mean",
        description="of several channels: their mean, left, right, that on the speaker's side, or one counted from 1",
    )
    sound: Literal["file", "clip"] = Field("file", description="if a sound file and a clip have it: which is used")
    silent_sound: Literal["mask", "drop"] = Field(
        "mask", description="an utterance with silent sound: kept with its sound masked, or dropped"
    )
    detector: str = Field("haar", description="name in the detector registry")
    detector_score: Fraction = Field(0.5, description="boxes below it are not used (detectors without scores give 1)")
    stride: Step = Field(6, description="the detector looks at every n-th frame of an utterance and at its last")
    roi: Annotated[float, Field(ge=0.0, le=100.0)] = Field(
        0.0, description="the detector first searches this many box sides around the last face; 0: the whole picture"
    )
    bridge_s: Annotated[float, Field(ge=0.0, le=3600.0)] = Field(
        1.0, description="longest gap between detections that is bridged"
    )
    min_face_px: Annotated[int, Field(ge=1, le=4096)] = Field(
        24, description="smallest face height searched for, pixels of the picture searched"
    )
    search_rows: Annotated[int, Field(ge=64, le=8192)] = Field(480, description="rows of the searched picture, at most")
    margin: UpTo10 = Field(
        0.3, description="margin added on each side of the face crop, as a share of the box's larger side"
    )
    face_px: Side = Field(64, description="side of the square face crop")
    half_width_px: Even = 128
    half_height_px: Even = 96
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 92
    sides: Literal["rule", "audit", "table"] = Field(
        "rule", description="who sits where: by the corpus' rule, by sound and motion, or by the entry's sides_table"
    )
    side_confidence: Fraction = Field(0.999, description="sides: audit: a result against the rule counts only above it")
    face: Literal["largest", "speaker", "table"] = Field("largest", description="which of several: docs/faces.md")
    face_confidence: Fraction = Field(0.8, description="face: speaker: if not above it, the largest face is used")
    listener: bool = Field(False, description="of two people in a picture, stage the listener's face, too")
    letterbox: bool = Field(True, description="cut black bars off the half picture before it is scaled")
    length_tolerance_s: Seconds = Field(0.02, description="a larger difference of sound and label length is counted")
    clamp_s: Annotated[float, Field(ge=0.0, le=3600.0)] = Field(
        0.5, description="a label may end this long after the end of its recording; if later, it is dropped"
    )
    min_samples: Annotated[int, Field(ge=1, le=160_000)] = Field(  # ten seconds
        400, description="shortest sound; shorter sound is padded with zeros, and counted"
    )
    max_drop_fraction: Fraction = Field(0.02, description="largest accepted share of drops; more is an error (exit 3)")

    @model_validator(mode="after")
    def _sides_known(self) -> Shards:
        if self.channel == "speaker" and self.sides == "audit":
            raise ValueError("channel: speaker needs the sides before the sound is read: write sides: rule or table")
        return self


class TextFeatures(Frozen):
    """Vectors of the spoken words from a frozen pretrained encoder, computed once, for `train.text`."""

    made_by: ClassVar = ("encoder", "steps", "context")
    encoder: str | None = Field(
        None, description="minilm, roberta; null: train.text.encoder reads the words themselves"
    )
    weights: Digest | None = Field(None, description="SHA-256 of your own model file; null: the published one")
    steps: Literal["utterance", "tokens"] = Field("utterance", description="one vector per utterance, or per token")
    context: Annotated[int, Field(ge=0, le=8)] = Field(
        0, description="turns before and after the utterance that the encoder reads too"
    )


class Features(Frozen):
    """Picture features of a frozen pretrained encoder, computed once, for `train.picture: features`."""

    made_by: ClassVar = ("encoder", "picture", "frame_step")
    encoder: str | None = Field(None, description="clip_vit_b32, clip_vit_l14; null: no features are computed")
    weights: Digest | None = Field(None, description="SHA-256 of your own model file; null: the published one")
    picture: Literal["face", "half"] = "half"
    frame_step: Step = Field(6, description="every n-th frame is encoded; train.frame_step is a multiple of it")
    text: TextFeatures = TextFeatures()


class AudioEncoder(Frozen):
    """The audio branch."""

    encoder: str = Field("logmel_cnn", description="name in the encoder registry")
    width: Width = Field(64, description="D of its output (pretrained encoders have their own)")
    dropout: Dropout | None = Field(
        0.2, description="on the encoder's output; null: `final_dropout` of the pretrained sound encoder's config"
    )
    mels: Annotated[int, Field(ge=2, le=128)] = Field(40, description="bands of the log-mel spectrogram")
    weights: Digest | None = Field(
        None, description="pretrained encoders: SHA-256 of your own model file; null: the published one"
    )
    input_norm: Literal["config", "none"] = Field(
        "config",
        description="pretrained encoders: as in their preprocessor config, or raw amplitude (docs/method.md, encoders)",
    )
    spec_augment: Fraction | None = Field(
        None, description="pretrained encoders: share of steps hidden in training; null: the encoder's own config"
    )
    layerdrop: Fraction | None = Field(
        None, description="pretrained encoders: share of layers left out in training; null: the encoder's own config"
    )
    front: Literal["alone", "batch"] = Field(
        "alone",
        description="pretrained encoders with group norm: each utterance at its own length, or with its padding",
    )
    attention: Literal["fused", "library"] = Field(
        "fused", description="WavLM's attention as one operation, or step by step as in its library"
    )
    augment: bool = Field(True, description="training varies loudness, shifts the spectrum, hides bands and steps")


class VideoEncoder(Frozen):
    """The video branch."""

    encoder: str = Field("crop_cnn", description="name in the encoder registry")
    width: Width = Field(64, description="D of its output (`identity` has the features' own)")
    dropout: Dropout | None = Field(
        0.2, description="on the encoder's output; null: `final_dropout` of the pretrained sound encoder's config"
    )
    augment: bool = Field(True, description="training moves, scales and turns the crops and varies their light")


class TextEncoder(Frozen):
    """The text branch."""

    encoder: str = Field(
        "hashed", description="name in the encoder registry; all but gban and hashed take features.text"
    )
    width: Width = Field(64, description="D of its output (`identity` has the features' own)")
    dropout: Dropout | None = Field(
        0.2, description="on the encoder's output; null: `final_dropout` of the pretrained sound encoder's config"
    )
    rows: Annotated[int, Field(ge=16, le=1_000_000)] = Field(
        8192, description="gban, hashed: rows of the table that words and letter triples share"
    )
    words: Count = Field(
        64, description="longer texts are cut to their first so many words (or tokens of features.text), and counted"
    )
    augment: bool = Field(True, description="mlp: training adds noise to the features and hides some")


class Train(Frozen):
    """Training of one variant and seed over all folds."""

    fold_by: FoldBy = Field(
        "session",
        description="speaker: sorted speakers are dealt to five groups in turn; or a named split (docs/protocols.md)",
    )
    picture: Picture = "face"
    frame_step: Step = Field(6, description="the network sees every n-th frame")
    max_s: Seconds = Field(10.0, description="longer utterances are cut to their first max_s seconds, and counted")
    pad_to: Literal["longest", "max_s"] = Field(
        "longest", description="sound of a batch is padded to its longest utterance, or always to max_s"
    )
    encoders: Literal["own", "single"] = Field(
        "own",
        description="of variants with both modalities: trained with the rest, or taken from the same seed's "
        "audio_only and video_only and frozen, before a stem that is trained",
    )
    audio: AudioEncoder = AudioEncoder()
    video: VideoEncoder = VideoEncoder()
    text: TextEncoder = TextEncoder()
    methods: dict[str, dict[str, Choice]] = Field(
        default_factory=dict, description="params of each method, from the blocks `methods`"
    )
    variants: dict[str, Variant] = Field(
        default_factory=lambda: dict(VARIANTS), description="definition of each variant, from the block `variants`"
    )
    epochs: Count = 16
    patience: Count = Field(8, description="epochs without a better dev UA before a fold stops")
    batch_size: Count = Field(16, description="utterances, or dialogues of a method over turns")
    buckets: Count = Field(
        1, description="batches of similar lengths are formed within windows of this many batches; 1: off"
    )
    lr: Rate = 2e-3
    lr_encoder: Rate | None = Field(
        None, description="of pretrained encoders; null: lr (2e-5 in the corrected version, docs/method.md)"
    )
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="cosine: warm-up, then decay to lr_end; constant: one rate, warmup and lr_end unused"
    )
    warmup: Fraction = Field(0.1, description="share of all steps with a rising rate")
    lr_end: Fraction = Field(0.1, description="cosine falls to this share of lr")
    weight_decay: UpTo10 = 0.01
    decay_on: Literal["weights", "all"] = Field(
        "weights", description="weights: all but biases, norms and the AVEL scale; all: every parameter"
    )
    clip_norm: Annotated[float, Field(gt=0.0, le=1e6)] | None = Field(
        1.0, description="gradients are scaled down to this norm; null: never"
    )
    init: Literal["torch", "normal"] = Field(
        "torch", description="new layers: torch's defaults, or N(0, 0.02) with biases 0 as in the encoder's library"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="of products in training; auto: bf16 on a GPU that has it, else fp32"
    )
    sampler: Literal["balanced", "plain", "natural"] = Field(
        "balanced",
        description="balanced: with replacement, weight 1 / class count (of whole dialogues: as plain); plain: "
        "shuffled, class weights in the loss; natural: shuffled, no weights",
    )
    determinism: Literal["off", "seeded", "strict"] = "strict"
    max_bad_steps: Count = Field(3, description="non-finite steps in a fold before it fails")

    def of(self, variant: str) -> Train:
        """Return what one variant's training depends on: its definition alone, its method's params, its picture.

        UsageError (exit 2) if there is no such variant.
        """
        one = self.variant(variant)
        singles = encoders_from(variant, self)
        return self.model_copy(
            update={
                "variants": {name: self.variants[name] for name in (variant, *singles.values())},
                "methods": {
                    name: self.methods.get(name, {})
                    for name in sorted({one.method, *(self.variants[each].method for each in singles.values())})
                },
                "picture": one.picture or self.picture,
            }
        )

    def variant(self, name: str) -> Variant:
        """Return the definition of a variant; UsageError (exit 2) if there is none."""
        if name not in self.variants:
            raise UsageError(
                f"variant: '{name}' is not known; {nearest(name, self.variants)}",
                action="correct it, or define it in the block `variants` of params.yaml (docs/add-a-method.md)",
            )
        return self.variants[name]


def encoders_from(variant: str, train: Train) -> dict[Modality, str]:
    """Return modality -> the variant that provides its encoder, for `train.encoders: single`; {} for own encoders.

    UsageError (exit 2) if no variant uses that modality alone.
    """
    one = train.variant(variant)
    if train.encoders == "own" or len(one.inputs) == 1:
        return {}
    return {modality: _alone(modality, one.picture, train) for modality in one.inputs}


def _alone(modality: Modality, picture: Picture | None, train: Train) -> str:
    """Return the first variant with this modality alone, on the same picture."""
    for name, one in train.variants.items():
        if one.inputs == [modality] and (modality != "video" or one.picture == picture):
            return name
    raise UsageError(
        f"train.encoders is single, and no variant uses {modality} alone",
        action="define one in the block `variants` of params.yaml, or set train.encoders: own",
    )


class Evaluate(Frozen):
    """Selection rule and calibration bins."""

    select: Literal["best_dev_ua"] = Field("best_dev_ua", description="for loso_dev_session; other protocols fix it")
    calibration_bins: Annotated[int, Field(ge=2, le=100)] = 10


class Final(Frozen):
    """The deployed model: one of the entry's runs, retrained on all sessions. Each entry must state it."""

    variant: str = "foal"
    seed: Seed = 1


# YAML has lists but no tuples.
Pair = Annotated[tuple[str, str], Strict(False)]


class Report(Frozen):
    """Intervals and the comparisons that the report makes."""

    level: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(0.95, description="of every interval")
    bootstrap: Annotated[int, Field(ge=50, le=100_000)] = Field(10000, description="resamples over recordings")
    margin: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.02, description="systems that surely differ by less UA count as equal"
    )
    seed: Seed = 7
    weighted_f1: bool = Field(
        False, description="report weighted F1 with an interval too, as published work on dialogues does"
    )
    compare: list[Pair] = Field(
        default=[("foal", "baseline"), ("foal", "audio_only"), ("foal", "video_only")],
        description="pairs (a, b): a minus b, where both were trained",
    )
    previous: Annotated[str, Field(pattern="^[0-9a-f]{40}$")] | None = Field(
        None, description="commit of an earlier report: the page says what changed since; null: none"
    )

    @model_validator(mode="after")
    def _can_be_made(self) -> Report:
        if self.bootstrap * (1 - self.level) / 2 < 1:
            raise ValueError(
                f"bootstrap: {self.bootstrap} resamples are too few for an interval of level {self.level}; "
                f"write at least {math.ceil(round(2 / (1 - self.level), 6))}, or a lower level"
            )
        return self


class Gate(Frozen):
    """The conditions under which a scheduled run may replace the champion (flows, docs/operating.md)."""

    variant: str = Field("foal", description="variant that is compared; if untrained, the last trained one")
    max_loss_ua: Fraction = Field(0.05, description="refused if the one-sided bound allows a larger loss of UA")
    level: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(0.9, description="of that bound (bench/gate_rates.md)")
    max_shrink: Fraction = Field(0.01, description="share of the champion's utterances that may be missing")
    max_more_drops: Fraction = Field(0.01, description="largest accepted growth of the share of dropped utterances")
