"""A user's own clip to probabilities, through the very preprocessing that made the training shards."""

from foalnet.predict.answer import ClipPrediction
from foalnet.predict.model import Model, load
from foalnet.predict.request import Request

__all__ = ["ClipPrediction", "Model", "Request", "load"]
