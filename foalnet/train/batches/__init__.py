"""Turns verified shards into padded batches with masks; the caller provides labels from `splits`."""

from foalnet.train.batches.buckets import bucketed, padding
from foalnet.train.batches.collate import (
    collate,
    derived_seed,
    dialogue_order,
    eval_batches,
    rated,
    score_batches,
    stored_batch,
    train_batches,
    train_order,
)
from foalnet.train.batches.store import Clip, Part, Store, filled, load_store, read_clip, stack_pictures
from foalnet.train.batches.turns import Turn, dialogues_of, turns_of

__all__ = [
    "Clip",
    "Part",
    "Store",
    "Turn",
    "bucketed",
    "collate",
    "derived_seed",
    "dialogue_order",
    "dialogues_of",
    "eval_batches",
    "filled",
    "load_store",
    "padding",
    "rated",
    "read_clip",
    "score_batches",
    "stack_pictures",
    "stored_batch",
    "train_batches",
    "train_order",
    "turns_of",
]
