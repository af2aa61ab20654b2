"""The verb `study`: trains and compares the runs of a study; dvc.yaml has it once for each entry of `studies`."""

from __future__ import annotations

from functools import partial

import click

from foalnet.config import load_settings
from foalnet.config.load import read_file
from foalnet.core.paths import Paths


@click.command(short_help="train many variants and seeds in one go and compare them")
@click.argument("name")
@click.option("--part", metavar="I/N", help="Train the runs of every N-th seed, from the I-th on, and write no page.")
@click.option("--search", is_flag=True, help="Make the search of the study alone, before its parts.")
def study(name: str, part: str | None, search: bool) -> None:
    """Train, score and compare the variants and seeds of the study NAME of params.yaml (docs/study.md).

    Writes reports/CORPUS/studies/NAME/. The same command resumes an interrupted study; finished runs are kept in the
    work folder, so that after a change of params only the changed runs are trained. With --part several processes, or
    jobs of a scheduler with a common work folder, train a study; then the command without it writes the page. The parts
    of a study with the param `search` need its result: --search.
    """
    from foalnet.core.errors import UsageError
    from foalnet.stages.base import errors_of, one_writer
    from foalnet.study import run_study, searched, train_part
    from foalnet.study.plan import part_of, plan_of

    say = partial(click.echo, err=True)
    with errors_of("study"):
        plan, settings = plan_of(read_file(), name), load_settings()
        paths = Paths(plan.params.corpus)
        if search:
            if part is not None or not plan.study.search:
                what = "--search and --part" if part is not None else f"study {name} has no `search`"
                raise UsageError(what, action="give --search alone, for a study with the param search (docs/study.md)")
            with one_writer("study-search", plan.params.corpus, settings, lambda: [settings.work / "study-search"]):
                chosen = searched(plan, settings, paths, say=say)[1]["chosen"]
            page = "\n".join(f"{variant}: point {number}" for variant, number in chosen.items())
        elif part is None:
            with one_writer("study", plan.params.corpus, settings, lambda: [paths.study(name)]):
                page = run_study(plan, settings, paths, say=say)
        else:
            number, parts = part_of(plan, part)
            with one_writer(f"study-{number}", plan.params.corpus, settings, lambda: [settings.work / "study"]):
                page = train_part(plan, settings, paths, number, parts, say=say)
    click.echo(page)
