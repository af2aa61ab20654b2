"""Maps raw labels to classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# The reason of an utterance that can be used, with a raw label of no class of the experiment.
NOT_USED = "label_not_used"
# The ratings that a method may learn besides classes, as the manifest names them.
AFFECT = ("valence", "activation")


def class_of(classes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return raw label -> class, the inverse of `classes`; each raw label belongs to one class.

    >>> class_of({"happy": ["hap", "exc"], "sad": ["sad"]})
    {'hap': 'happy', 'exc': 'happy', 'sad': 'sad'}
    """
    return {raw: name for name, raws in classes.items() for raw in raws}
