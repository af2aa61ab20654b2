"""Pretrained encoders: pinned revisions, verified by digest, converted from pickles once, used offline by stages."""

from foalnet.encoders.catalogue import CATALOGUE, WeightSet
from foalnet.encoders.convert import read_state
from foalnet.encoders.hf import library_version, load_model, transformers_offline
from foalnet.encoders.store import MOST_CONFIG_BYTES, Pretrained, open_weights

__all__ = [
    "CATALOGUE",
    "MOST_CONFIG_BYTES",
    "Pretrained",
    "WeightSet",
    "library_version",
    "load_model",
    "open_weights",
    "read_state",
    "transformers_offline",
]
