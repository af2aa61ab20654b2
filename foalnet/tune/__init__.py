"""Searches settings on dev sessions with one space, one budget and one seed for every variant; records every trial."""

from foalnet.tune.forecast import tune_forecast
from foalnet.tune.run import tune

__all__ = ["tune", "tune_forecast"]
