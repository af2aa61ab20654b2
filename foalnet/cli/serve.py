"""The verb `serve`: a page on this machine alone, where one drops a clip and sees its timeline."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from foalnet.cli.predict import FILE


@click.command(short_help="show the timeline of a dropped clip on a page of this machine")
@click.option("--model", required=True, type=FILE, help="Folder of a sealed model, for example models/drawn/final.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: a free one.")
@click.option("--window", "window_s", type=float, default=2.0, show_default=True, help="Seconds of a window.")
@click.option("--step", "step_s", type=float, help="Seconds from window to window [default: half a window].")
@click.option(
    "--max-mb", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Megabytes of the largest clip."
)
def serve(model: Path, port: int, window_s: float, step_s: float | None, max_mb: int) -> None:
    """Serve a page on 127.0.0.1 alone: drop a clip on it, and it shows the timeline of `foalnet predict --timeline`.

    One clip at a time; each is deleted after its prediction. Ctrl-C ends it.
    """
    from foalnet import predict
    from foalnet.predict.request import Request
    from foalnet.predict.serve import Server

    # An error in the windows is found before the model is loaded.
    Request(clip=Path(), window_s=window_s, step_s=step_s)
    predict.check_model(model)
    loaded = predict.load(model)
    with (
        suppress(KeyboardInterrupt),
        Server(loaded.windows, port=port, window_s=window_s, step_s=step_s, most_bytes=max_mb * 1_000_000) as server,
    ):
        click.echo(f"foalnet: {server.address} shows the timeline of a clip; Ctrl-C ends it", err=True)
        server.serve_forever()
