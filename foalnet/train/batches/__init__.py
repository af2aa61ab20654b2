"""Turns verified shards into padded batches with masks; the caller provides labels from `splits`."""

from foalnet.train.batches.buckets import bucketed, padding
from foalnet.train.batches.collate import collate, derived_seed, eval_batches, train_batches, train_order
from foalnet.train.batches.store import Clip, Part, Store, filled, load_store, read_clip, stack_pictures

__all__ = [
    "Clip",
    "Part",
    "Store",
    "bucketed",
    "collate",
    "derived_seed",
    "eval_batches",
    "filled",
    "load_store",
    "padding",
    "read_clip",
    "stack_pictures",
    "train_batches",
    "train_order",
]
