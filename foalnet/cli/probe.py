"""The verb `probe`: trained runs on disturbed clips, and controls; dvc.yaml has it for each entry of `probe`."""

from __future__ import annotations

from functools import partial

import click

from foalnet.config import load_settings
from foalnet.config.load import read_file, resolve
from foalnet.config.probing import Probe
from foalnet.core.paths import Paths


@click.command(short_help="predict disturbed clips with the trained runs; controls of the scores")
@click.argument("corpus")
@click.option("--learning-curve", is_flag=True, help="Train with fewer sessions, too, as probe.CORPUS.learning_curve.")
def probe(corpus: str, learning_curve: bool) -> None:
    """Measure what would happen to the scores of CORPUS if the clips were disturbed (docs/probe.md).

    The networks of its trained and evaluated runs predict their test parts again: with noise, without sound or
    picture, with half the frames, out of step, with another face. Further sections: accuracy of the surest answers,
    answers without the clips, permuted labels, raters where the manifest has votes. Writes reports/CORPUS/probe/.
    Without an entry of `probe` in params.yaml the defaults hold; with one `dvc repro probe@CORPUS` runs it.
    """
    from foalnet.probe import run_probe
    from foalnet.stages.base import errors_of, one_writer

    with errors_of("probe"):
        file, settings, paths = read_file(), load_settings(), Paths(corpus)
        params, block = resolve(file, corpus), file.probe.get(corpus, Probe())
        if learning_curve:
            block = block.model_copy(update={"learning_curve": True})
        with one_writer("probe", corpus, settings, lambda: [paths.probe]):
            page = run_probe(params, block, settings, paths, say=partial(click.echo, err=True))
    click.echo(page)
