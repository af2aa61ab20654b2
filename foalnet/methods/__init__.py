"""Methods: one file per system of the literature, and the networks and objective that training builds from them."""

from foalnet.methods.base import Config, Losses, Method, classifier, param
from foalnet.methods.build import (
    build_net,
    config_of,
    method_config,
    method_of,
    needs_weights,
    weights_of,
)
from foalnet.methods.foal import FoalNet
from foalnet.methods.objective import CCC, CROSS_ENTROPY, Loss, Objective
from foalnet.methods.registry import METHODS
from foalnet.methods.single import Single

__all__ = [
    "CCC",
    "CROSS_ENTROPY",
    "METHODS",
    "Config",
    "FoalNet",
    "Loss",
    "Losses",
    "Method",
    "Objective",
    "Single",
    "build_net",
    "classifier",
    "config_of",
    "method_config",
    "method_of",
    "needs_weights",
    "param",
    "weights_of",
]
