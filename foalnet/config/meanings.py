"""Units and sources of params, and meanings of params that have no description in blocks.py.

A new param gets its meaning from the description of its field in blocks.py. It needs no line here if the suffix of its
name is its unit (`_s`, `_px`, `_hz`, `_fps`) and its source is that of its block.
"""

from __future__ import annotations

from dataclasses import dataclass

SUFFIX_UNITS = {"_s": "s", "_px": "px", "_hz": "Hz", "_fps": "frames/s"}

# The paper is Li et al., Interspeech 2024 (doi 10.21437/Interspeech.2024-1462). A source says where the idea of a param
# comes from; its value may differ from the paper's. "ours" is a choice of this project.
INPUT = "paper, inputs"
ENCODERS = "paper, encoders"
TRAINING = "paper's released code, training"
PROTOCOL = "paper, protocol (IEMOCAP, 4 classes, leave one session out)"
METRICS = "paper, metrics (UA, WA)"
ABLATION = "paper, ablation (Table 2)"
OURS = "ours"


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """Documentation of one param: `says` describes it in a line; `unit` is "" for a plain number or text."""

    says: str = ""
    unit: str = ""
    source: str = ""


# Path -> source of all params below it that have no source of their own; the longest matching path counts.
SOURCES = {
    "": OURS,
    "draw": "ours, docs/drawn.md",
    "train": TRAINING,
    "train.audio": ENCODERS,
    "train.video": ENCODERS,
    "train.text": OURS,
    "evaluate": METRICS,
}

MEANINGS: dict[str, Meaning] = {
    "corpus": Meaning(says="name of the entry, of its folders and of its report"),
    "reader": Meaning(says="name in the corpus registry of the reader that knows the layout on disk"),
    "table": Meaning(says="the corpus' own table, relative to its root; for the reader `table`"),
    "source": Meaning(says="what `inventory` depends on: the drawn corpus, or a small committed file"),
    "variants": Meaning(says="what is trained: the whole network, its ablations, each modality alone", source=ABLATION),
    "seeds": Meaning(says="one training run of each variant per seed"),
    "protocols": Meaning(says="who trains, who chooses the epoch, who is tested (docs/protocols.md)", source=PROTOCOL),
    "draw.seed": Meaning(says="seed of everything random in the drawn corpus"),
    "draw.dialogues_per_session": Meaning(says="number of dialogues in each of the five sessions"),
    "draw.length_min_s": Meaning(says="shortest utterance"),
    "draw.length_max_s": Meaning(says="longest utterance"),
    "draw.rate_fps": Meaning(says="frame rate of the drawn videos: that of IEMOCAP, or half of it"),
    "draw.share_both": Meaning(unit="share of utterances"),
    "draw.share_sound": Meaning(unit="share of utterances"),
    "draw.share_face": Meaning(unit="share of utterances"),
    "draw.share_interaction": Meaning(unit="share of utterances"),
    "sides_table": Meaning(says="a committed file that lists who sits where, for sides: table and face: table"),
    "manifest.classes": Meaning(source=PROTOCOL),
    "manifest.max_drop_fraction": Meaning(unit="share of label lines"),
    "shards.side_confidence": Meaning(unit="share of chance answers"),
    "shards.face_confidence": Meaning(unit="share of chance answers"),
    "shards.utterances": Meaning(says="all: every valid utterance; used: only those of a class of this experiment"),
    "shards.rate_hz": Meaning(says="rate of the staged sound, mono", source=INPUT),
    "shards.detector_score": Meaning(unit="score from 0 to 1"),
    "shards.stride": Meaning(unit="frames"),
    "shards.search_rows": Meaning(unit="rows"),
    "shards.margin": Meaning(unit="share of the box's larger side"),
    "shards.half_width_px": Meaning(says="width of the staged half picture", source=INPUT),
    "shards.half_height_px": Meaning(says="height of the staged half picture", source=INPUT),
    "shards.jpeg_quality": Meaning(says="quality of crops and half pictures", unit="1 to 100"),
    "shards.min_samples": Meaning(unit="samples"),
    "shards.max_drop_fraction": Meaning(unit="share of utterances"),
    "features.picture": Meaning(says="what the frozen encoder sees: the speaker's half or the face crop", source=INPUT),
    "final.variant": Meaning(says="variant of the deployed model", source=OURS),
    "final.seed": Meaning(says="seed of the deployed model", source=OURS),
    "train.fold_by": Meaning(source=OURS),
    "train.picture": Meaning(says="what the video branch sees: face crop, half picture, or a feature table's rows"),
    "train.frame_step": Meaning(unit="frames", source=OURS),
    "train.max_s": Meaning(source=INPUT),
    "train.encoders": Meaning(source=OURS),
    "train.audio.mels": Meaning(source=OURS),
    "train.audio.augment": Meaning(source=OURS),
    "train.audio.attention": Meaning(source=OURS),
    "train.video.augment": Meaning(source=OURS),
    "train.audio.dropout": Meaning(unit="probability"),
    "train.video.dropout": Meaning(unit="probability"),
    "train.epochs": Meaning(says="largest number of epochs of a fold", unit="epochs"),
    "train.patience": Meaning(unit="epochs", source=OURS),
    "train.batch_size": Meaning(says="utterances per step", unit="utterances"),
    "train.buckets": Meaning(unit="batches", source=OURS),
    "train.lr": Meaning(says="highest learning rate (AdamW)"),
    "train.warmup": Meaning(unit="share of all steps", source=OURS),
    "train.lr_end": Meaning(unit="share of lr", source=OURS),
    "train.weight_decay": Meaning(says="AdamW's weight decay of the parameters that decay_on selects"),
    "train.init": Meaning(source=ENCODERS),
    "train.pad_to": Meaning(source=INPUT),
    "train.clip_norm": Meaning(source=OURS),
    "train.determinism": Meaning(
        says="strict: only byte-reproducible operations; seeded: fixed seeds alone; off: neither",
        source=OURS,
    ),
    "train.max_bad_steps": Meaning(unit="steps", source=OURS),
    "evaluate.select": Meaning(says="the epoch that is scored: the best on dev, never on test", source=OURS),
    "evaluate.calibration_bins": Meaning(says="equal bins of confidence in the calibration figure", source=OURS),
    "report.level": Meaning(unit="probability"),
    "report.seed": Meaning(says="seed of resamples and sign flips"),
}
