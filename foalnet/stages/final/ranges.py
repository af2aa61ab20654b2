"""Computes the ranges of loudness, length and face size in the training data, and compares a clip with them.

Shape letters: N samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from foalnet.shards import SampleMeta

# The range of a quantity leaves out a hundredth of the utterances at either end.
OUTER = 0.01
PHRASES = {
    "loudness_dbfs": ("quieter", "louder", "dBFS"),
    "duration_s": ("shorter", "longer", "s"),
    "face_px": ("its face is smaller", "its face is larger", "pixels high"),
}
DRAWN = (
    "the model was trained on drawn faces and synthetic voices alone: it shows that the software works, and tells "
    "nothing about real people"
)


def quantities(meta: SampleMeta, wave_N: np.ndarray | None) -> dict[str, float]:
    """Return loudness (RMS in dB of full scale), duration (s) and height of the face (source pixels, the median).

    What an utterance lacks is left out: sound (`wave_N` None, or digital silence), or a face.
    """
    values: dict[str, float] = {}
    if wave_N is not None and (rms := float(np.sqrt(np.mean(np.square(wave_N, dtype=np.float64))))) > 0:
        values["loudness_dbfs"] = 20 * math.log10(rms)
    values["duration_s"] = meta.end_s - meta.start_s
    heights = [box[3] - box[1] for box in (meta.video.boxes if meta.video else ()) if any(box)]
    if heights:
        values["face_px"] = float(np.median(heights))
    return values


def ranges_of(rows: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return [low, high] of each quantity over utterances, without the outermost hundredth at either end."""
    rows = list(rows)
    values = {name: [row[name] for row in rows if name in row] for name in PHRASES}
    return {
        name: [round(float(edge), 2) for edge in np.quantile(each, (OUTER, 1 - OUTER))]
        for name, each in values.items()
        if each
    }


def outside(ranges: Mapping[str, Sequence[float]], values: Mapping[str, float]) -> list[str]:
    """Return a sentence for each quantity of a clip that is outside the range of the training data.

    >>> outside({"duration_s": [1.0, 2.0]}, {"duration_s": 3.0})
    ['longer than 99 % of the training data: 3.0 s, there 1.0 to 2.0']
    """
    notes = []
    for name, (low, high) in ranges.items():
        # Compared as it is shown, else a note would contradict its own figures.
        if name in values and not round(low, 1) <= round(values[name], 1) <= round(high, 1):
            less, more, unit = PHRASES[name]
            phrase, there = less if values[name] < low else more, f"there {low:.1f} to {high:.1f}"
            share = f"{100 * (1 - OUTER):.0f} % of the training data"
            notes.append(f"{phrase} than {share}: {values[name]:.1f} {unit}, {there}")
    return notes
