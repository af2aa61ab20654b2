"""The search of settings on dev sessions: one space, one budget and one seed for every variant, each trial kept."""

from foalnet.tune.forecast import tune_forecast
from foalnet.tune.run import tune

__all__ = ["tune", "tune_forecast"]
