"""Seals a checkpoint of the authors' own code like a final model: their weights, the released version, no scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foalnet.artifact.model import FILE, Sealed, seal
from foalnet.authors.network import imported
from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.config.presets import preset_for
from foalnet.core.errors import DataError, MachineError, UsageError, reason
from foalnet.core.files import content_key, json_bytes, publish_bytes, read_plain, sha256_file
from foalnet.core.markdown import escape
from foalnet.encoders import CATALOGUE, MOST_CONFIG_BYTES, open_weights, read_state, transformers_offline
from foalnet.stages.final.card import LIMITS, NOT_FOR, limits_md

PRESET = "iemocap-paper"
# The encoder from which the authors started.
AUTHORS_ENCODER = "wavlm_large"
# The published image encoders by the width of their features.
CLIPS = {each.width: each.name for each in CATALOGUE.values() if each.kind == "clip"}
NOTE = (
    "Imported from a checkpoint of the authors' code. Who trained it, on what, and how it scores is not known here: no "
    "figure of this project or of the paper is this model's."
)


def import_checkpoint(
    file: Path, wavlm: Path | None, out: Path, settings: Settings, *, classes: Sequence[str]
) -> dict[str, Any]:
    """Seal an authors' checkpoint into the folder `out` and return its card.

    `file`: a state dict, pickled (read as plain tensors, without running its code) or as safetensors; `wavlm`: the
    config.json of the WavLM from which it was trained, or its folder; None: that of WavLM-large among this machine's
    weights. DataError (exit 3) if the checkpoint or config is invalid, UsageError (exit 2) if the checkpoint has
    another number of classes.
    """
    config = _config(settings.weights_folder / AUTHORS_ENCODER if wavlm is None else wavlm)
    checkpoint = imported(read_state(file), config, file=file)
    if checkpoint.classes != len(classes):
        raise UsageError(
            f"the checkpoint has {checkpoint.classes} classes, {len(classes)} were named: {', '.join(classes)}",
            file=file,
            action="name them in the order of its logits: --classes a,b,c (the authors' own: happy,neutral,sad,angry)",
        )
    net = checkpoint.build()
    digests = {"checkpoint": sha256_file(file), "wavlm_config": content_key(config)}
    features = _features(checkpoint.shape.frame[0], settings)
    card = {
        "schema": 1,
        "kind": "imported",
        "note": NOTE,
        "digests": digests,
        "classes": list(classes),
        "hears": True,
        "sees": "vectors of " + str(features["encoder"] if features else f"{checkpoint.shape.frame[0]} numbers"),
        "longest_s": checkpoint.params.max_s,
        "limits": list(LIMITS),
        "not_for": list(NOT_FOR),
    }
    shards = Shards.model_validate(preset_for(PRESET, "iemocap").entry["shards"])
    content = Sealed(
        corpus="imported",
        variant="foal",
        seed=0,
        classes=tuple(classes),
        rate_hz=checkpoint.shape.rate_hz,
        frame=checkpoint.shape.frame,
        shards=shards,
        train=checkpoint.params.model_copy(update={"precision": "fp32"}),
        features=features,
        pretrained=checkpoint.pretrained.facts() | {"sha256": digests["checkpoint"]},
        tools={},
        digests=digests,
        card=card,
    )
    seal(out / FILE, net.state_dict(), content)
    publish_bytes(out / "card.json", json_bytes(card))
    publish_bytes(out / "card.md", _card_md(card).encode())
    return card


def _features(dims: int, settings: Settings) -> dict[str, Any] | None:
    """Return the frozen encoder with features of that width; None if none is known (then only tables fit).

    Its preprocessing is recorded if its files are on this machine; otherwise it is None, and prediction uses that of
    the encoder's files.
    """
    encoder = CLIPS.get(dims)
    if encoder is None:
        return None
    facts = {"encoder": encoder, "weights": None, "picture": "half", "frame_step": 1}
    try:
        preprocessor: Mapping[str, Any] | None = open_weights(encoder, settings).preprocessor
    except MachineError:
        preprocessor = None
    return facts | {"preprocessing": None if preprocessor is None else content_key(dict(preprocessor))}


def _config(path: Path) -> dict[str, Any]:
    """Return the config of a WavLM, validated by the library that will build it."""
    file = path / "config.json" if path.is_dir() else path
    try:
        config = json.loads(read_plain(file, MOST_CONFIG_BYTES))
    except (OSError, ValueError) as error:
        raise _no_config(file, reason(error)) from error
    if not isinstance(config, dict) or "hidden_size" not in config:
        raise _no_config(file, "it names no hidden_size")
    library = transformers_offline()
    try:
        library.WavLMConfig.from_dict(dict(config))
    except Exception as error:  # the library raises several exception types for an invalid config
        raise _no_config(file, reason(error).splitlines()[-1].strip()) from error
    return {name: value for name, value in config.items() if not name.startswith("_")}


def _no_config(file: Path, why: str) -> DataError:
    return DataError(
        f"this is not a config of a WavLM: {why}",
        file=file,
        action="give --wavlm the config.json of the encoder that the checkpoint was trained from, or run "
        f"`foalnet weights fetch {AUTHORS_ENCODER}`",
    )


def _card_md(card: Mapping[str, Any]) -> str:
    lines = [
        "# Model card: an imported checkpoint",
        "",
        f"**{escape(card['note'])}**",
        "",
        f"Takes sound and {escape(card['sees'])} of one utterance, its first {card['longest_s']:g} s, and gives a "
        f"probability to each of {len(card['classes'])} classes: {escape(', '.join(card['classes']))}.",
        "",
        f"Checkpoint: sha256 {card['digests']['checkpoint']}",
        "",
        *limits_md(card),
    ]
    return "\n".join(lines) + "\n"
