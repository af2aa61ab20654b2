"""Typed params, which change results, and machine settings, which do not."""

from foalnet.config.base import Frozen, nearest
from foalnet.config.load import Params, load_params, resolve
from foalnet.config.settings import Settings, load_settings

__all__ = ["Frozen", "Params", "Settings", "load_params", "load_settings", "nearest", "resolve"]
