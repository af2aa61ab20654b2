"""The verb `weights`: lists, fetches and records the files of pretrained encoders and face detectors."""

from __future__ import annotations

from collections.abc import Iterator

import click

from foalnet.config import Settings, load_settings, nearest
from foalnet.core.errors import MachineError, UsageError
from foalnet.core.redact import redact


@click.group(invoke_without_command=True, short_help="weights of encoders and detectors: list, fetch, record")
@click.pass_context
def weights(context: click.Context) -> None:
    """List pretrained encoders and the files of face detectors: which are ready here, and how to get the others.

    Only `foalnet weights fetch` uses the network; every stage runs offline with the fetched files.
    """
    if context.invoked_subcommand is not None:
        return
    settings = load_settings()
    click.echo(redact(f"folder: {settings.weights_folder}"))
    for line in [*_encoders(settings), *_detectors(settings)]:
        click.echo(redact(line))


def _encoders(settings: Settings) -> Iterator[str]:
    from foalnet.encoders import CATALOGUE, open_weights

    for name, entry in CATALOGUE.items():
        origin = f"{name}: {entry.repository} at revision {entry.revision}"
        try:
            ready = open_weights(name, settings)
        except MachineError as error:
            yield f"{origin}: not ready: {error.what}\n  next: {error.action}"
        else:
            yield f"{origin}: ready, sha256 {ready.sha256}"


def _detectors(settings: Settings) -> Iterator[str]:
    from foalnet.faces import WEIGHT_FILES
    from foalnet.faces.weights import find_weights

    for name, files in WEIGHT_FILES.items():
        for file in files:
            try:
                find_weights(file, settings)
            except MachineError as error:
                yield f"{name}: {file.name}: not ready: {error.what}\n  next: {error.action}"
            else:
                yield f"{name}: {file.name}: ready, sha256 {file.sha256}"


@weights.command("fetch", short_help="fetch missing files, check and record them")
@click.argument("name")
def fetch(name: str) -> None:
    """Fetch the missing files of NAME, an encoder or a detector, and check every digest.

    An encoder is fetched at its pinned revision; a pickle is converted once, and the digests are recorded. Files that
    exist already (an encoder's in a folder of its name, in the hub's own layout, a detector's in the weights folder
    itself) are checked without the network.
    """
    from foalnet.encoders import CATALOGUE
    from foalnet.encoders.fetch import fetch_weights
    from foalnet.faces import DETECTORS, WEIGHT_FILES

    settings = load_settings()
    if name in CATALOGUE:
        lines = fetch_weights(name, settings)
    elif name in WEIGHT_FILES:
        lines = _fetch_detector(name, settings)
    elif name in DETECTORS:
        lines = iter([f"{name}: needs no file"])
    else:
        known = [*CATALOGUE, *WEIGHT_FILES]
        raise UsageError(f"no encoder or detector '{name}'; {nearest(name, known)}", action="see `foalnet weights`")
    for line in lines:
        click.echo(redact(line))


def _fetch_detector(name: str, settings: Settings) -> Iterator[str]:
    from foalnet.encoders.single import fetch_file
    from foalnet.faces import WEIGHT_FILES
    from foalnet.faces.weights import find_weights, stored_path

    for file in WEIGHT_FILES[name]:
        if stored_path(file, settings) is None:
            yield f"{name}: fetching {file.name} from {file.address or file.origin}"
            fetch_file(file, settings.weights_folder)
        yield f"{name}: {find_weights(file, settings)}: ready, sha256 {file.sha256}"


@weights.command("record", short_help="record weights of your own")
@click.argument("name")
def record(name: str) -> None:
    """Record your own weights of NAME's architecture from its folder; params then refer to them by digest."""
    from foalnet.encoders.fetch import record_weights
    from foalnet.faces import DETECTORS

    if name in DETECTORS:
        raise UsageError(
            f"{name} is a face detector: it is used with its published file alone",
            action=f"run `foalnet weights fetch {name}`, or add a detector of your own (docs/add-a-detector.md)",
        )
    for line in record_weights(name, load_settings()):
        click.echo(line)
