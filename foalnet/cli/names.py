"""Checks before the first stage that everything params name exists, and that the parts fit together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from foalnet.config import Params, load_settings, nearest
from foalnet.config.blocks import Train
from foalnet.config.load import DEFAULT_PARAMS, read_file
from foalnet.core.errors import MachineError, UsageError
from foalnet.corpora import READERS, reader_of
from foalnet.corpora.inventory import need_root
from foalnet.encoders import CATALOGUE
from foalnet.faces import DETECTORS
from foalnet.methods import METHODS, config_of
from foalnet.methods.params import check_method_space
from foalnet.nets.registry import ENCODERS, PRETRAINED
from foalnet.stages.manifest.build import check_classes, contract_of

if TYPE_CHECKING:
    from foalnet.nets.encoder import InputShape


def check_names(params: Params) -> None:
    """Raise UsageError (exit 2) for what a later verb would refuse.

    That is: unknown names, parts that do not fit together, wrong settings, raw labels that the corpus cannot have.
    """
    load_settings()
    pictures = [name for name, each in CATALOGUE.items() if each.kind == "clip"]
    texts = [name for name, each in CATALOGUE.items() if each.kind in ("minilm", "roberta")]
    choices: dict[str, tuple[str | None, Collection[str]]] = {
        "reader": (params.reader, READERS),
        "shards.detector": (params.shards.detector, DETECTORS),
        "features.encoder": (params.features.encoder, pictures),
        "features.text.encoder": (params.features.text.encoder, texts),
    }
    for modality, known in ENCODERS.items():
        encoder = getattr(params.train, modality).encoder
        choices[f"train.{modality}.encoder"] = (encoder, [*known, *PRETRAINED[modality]])
    choices |= {f"methods.{name}": (name, METHODS) for name in params.train.methods}
    wrong = [
        f"{key}: no '{name}'; {nearest(name, known)}"
        for key, (name, known) in choices.items()
        if name is not None and name not in known
    ]
    file = f"{DEFAULT_PARAMS} (corpora.{params.corpus})"
    if wrong:
        raise UsageError("\n".join(wrong), file=file, action="correct these names")
    reader = reader_of(params)
    check_classes(params.manifest.classes, reader, params.manifest.contract, file=file)
    contract_of(params.manifest.contract, reader, params.manifest.classes)
    seeing = [variant for variant in params.variants if "video" in params.train.variant(variant).inputs]
    if seeing and params.train.picture == "features" and not params.features.encoder and "features" not in reader.reads:
        raise UsageError(
            f"train.picture is features: reader {reader.name} has no table of features, and features.encoder is null",
            file=file,
            action=f"name an encoder as features.encoder ({', '.join(pictures)}), or set train.picture: face",
        )
    check_method_space(params.tune, params.train, file=file)
    _check_networks(params, file)


def _check_networks(params: Params, file: str) -> None:
    """Build the network of every variant on torch's meta device: building refuses parts that do not fit.

    Every sound encoder fits, so one that needs no file replaces the named one, with its width.
    """
    import torch

    from foalnet.methods import build_net

    for variant in params.variants:
        try:
            train, shape = _without_files(variant, params)
            with torch.device("meta"):
                build_net(variant, train, classes=list(params.manifest.classes), shape=shape)
        except UsageError as error:
            raise UsageError(f"variant {variant}: {error.what}", file=file, action=error.action) from error


def _without_files(variant: str, params: Params) -> tuple[Train, InputShape]:
    """Return a variant's params with a sound encoder that needs no file, and the shape of the inputs."""
    from foalnet.nets.encoder import InputShape

    train, shards = params.train.of(variant), params.shards
    audio: dict[str, Any] = {"encoder": "functionals"}
    widths = {name: each.width for name, each in CATALOGUE.items()}
    audio["width"] = widths.get(train.audio.encoder, train.audio.width)
    # Attention cuts a width into heads; a width that only a file knows is one that can be cut.
    fits = getattr(config_of(variant, train), "heads", 1)
    if train.audio.encoder in PRETRAINED["audio"]:
        # Its config file sets what params leave null; the width of own weights is known only when they are read.
        audio |= {"dropout": 0.0} | ({"width": fits} if train.audio.weights else {})
        methods = {name: {**values, "head_dropout": 0.0} for name, values in train.methods.items()}
        others = {name: getattr(train, name).model_copy(update={"dropout": 0.0}) for name in ("video", "text")}
        train = train.model_copy(update={**others, "methods": methods})
    train = train.model_copy(update={"audio": train.audio.model_copy(update=audio)})
    # The number of columns of a feature table is known only when it is read.
    vector = widths.get(params.features.encoder or "", fits) if not params.features.weights else fits
    frames = {
        "face": (3, shards.face_px, shards.face_px),
        "half": (3, shards.half_height_px, shards.half_width_px),
        "features": (vector,),
    }
    words = params.features.text
    text = None if words.encoder is None else fits if words.weights else widths.get(words.encoder, fits)
    return train, InputShape(rate_hz=params.shards.rate_hz, frame=frames[train.picture], text=text)


def notes_on_roots(corpora: Iterable[Params]) -> Iterator[str]:
    """Yield a note for each corpus without its files (unless the first stage draws them) and each root of no corpus.

    DataError (exit 3) where a root does not have the reader's layout.
    """
    settings = load_settings()
    for params in corpora:
        try:
            need_root(params, settings)
        except MachineError as error:
            if not params.drawn_here or params.corpus in settings.roots:
                yield str(error)
    names = read_file().corpora
    for name in settings.roots:
        if name not in names:
            yield f"the settings have a root for '{name}', no corpus of {DEFAULT_PARAMS}; {nearest(name, names)}"
