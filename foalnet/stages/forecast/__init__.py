"""What a long verb would do, before it does it: what is left, how long by what was measured here, how much disk.

Nothing is written, no media is opened. A time is told only where an earlier run on this machine was measured
(`work/runs/`); else it is said to be unknown.
"""

from foalnet.stages.forecast.base import COPIES, Forecast, free_bytes, size, speech_seconds
from foalnet.stages.forecast.drawing import draw_forecast, note_drawing
from foalnet.stages.forecast.encoding import features_forecast
from foalnet.stages.forecast.staging import BYTES_PER_S, planned_jobs, shards_forecast
from foalnet.stages.forecast.training import final_forecast, train_forecast

__all__ = [
    "BYTES_PER_S",
    "COPIES",
    "Forecast",
    "draw_forecast",
    "features_forecast",
    "final_forecast",
    "free_bytes",
    "note_drawing",
    "planned_jobs",
    "shards_forecast",
    "size",
    "speech_seconds",
    "train_forecast",
]
