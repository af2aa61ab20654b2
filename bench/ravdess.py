"""Compares Foal-Net and its ablations on RAVDESS with a support vector machine on the same features.

    python -m bench.ravdess --root FOLDER            (or FOALNET_SHARED_DATA=PARENT python -m bench.ravdess)

Folds by actor: four groups of actors train, the fifth is tested; both arms learn from all four. The SVM gets the action
units, the functionals of the sound, or both; kernel, C, gamma and scaling are searched on the last of the four groups,
and the best SVM is fitted to all four. The networks run through foalnet's training code with the preset `ravdess` and
the protocol `loso_fixed_epochs`. Each result is stored in the work folder at once, so an interrupted bench resumes.

The action units are one vector per clip: attention over them is a constant, so any gain comes from the whole system,
not from attending to a moment of the picture. The preset, including its number of epochs, was chosen on the same actors
(bench/ravdess_trials.tsv), the SVM's grid was not: a lead of the networks here does not prove one on other actors.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import click
from tqdm import tqdm

from bench.ravdess_arms import ARMS, Answer, Job, answers_of
from bench.ravdess_data import REPOSITORY, Corpus, ravdess_root, stage_corpus
from bench.ravdess_table import Scores, lines
from foalnet.config.variants import VARIANTS
from foalnet.core.errors import FoalnetError, UsageError
from foalnet.core.shim import one_torch_thread

SEEDS = (1, 2, 3, 4, 5)
# The paper's variants; RAVDESS has a table of features in place of pictures, so no half picture, and no text of worth.
NETWORKS = tuple(
    name
    for name, each in VARIANTS.items()
    if each.picture is None and each.method in ("single", "foal") and "text" not in each.inputs
)
CURVE = ("foal", "svm_both")
QUICK = {"epochs": 1, "patience": 1}
TRIALS = REPOSITORY / "bench" / "ravdess_trials.tsv"


def plan_jobs(
    corpus: Corpus, count: int, *, variants: Sequence[str], seeds: Sequence[int], folds: int, curve: bool
) -> list[Job]:
    """Return every job of one class set: the SVMs, the networks by seed, and shorter folds for the learning curve."""
    names = [fold.name for fold in corpus.folds[:folds]]
    jobs = [Job(count=count, variant=arm, seed=0, fold=fold) for arm, fold in product(ARMS, names)]
    for seed, variant, fold in product(seeds, variants, names):
        jobs.append(Job(count=count, variant=variant, seed=seed, fold=fold))
    if curve:
        most = min(len(fold.train) for fold in corpus.folds)
        for groups, variant, fold in product(range(2, most), CURVE, names):
            jobs.append(
                Job(count=count, variant=variant, seed=0 if variant in ARMS else seeds[0], fold=fold, groups=groups)
            )
    return jobs


def listed(text: str, known: Sequence[str], option: str) -> list[str]:
    """Return the names in a comma-separated option, in order and each once (UsageError, exit 2, for an unknown one)."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise UsageError(
            f"{option}: '{', '.join(wrong)}' is not known; valid: {', '.join(known)}", action=f"correct {option}"
        )
    return names


def bench(
    root: Path,
    work: Path,
    *,
    counts: Sequence[int],
    variants: Sequence[str],
    seeds: Sequence[int],
    folds: int,
    workers: int,
    curve: bool,
    quick: bool,
) -> str:
    """Run the jobs without a stored result and return the tables."""
    # One thread from the start: trainings run in parallel, and a fork after a thread pool has worked hangs.
    with one_torch_thread():
        corpora = {count: stage_corpus(root, count, work, QUICK if quick else {}) for count in counts}
        jobs: list[Job] = []
        for count, corpus in corpora.items():
            corpus.sound_NX()  # remembered, so that every training starts with them
            jobs += plan_jobs(corpus, count, variants=variants, seeds=seeds, folds=folds, curve=curve)
        # Whole seeds first, over all class sets: an interrupted bench then has complete seeds.
        jobs.sort(key=lambda job: (job.seed, job.groups))
        with tqdm(total=len(jobs), desc="bench", unit="training", disable=None) as bar:
            answers = answers_of(corpora, jobs, work, workers=workers, report=lambda _: bar.update(1))
    said: list[str] = [f"# RAVDESS{', quick: a smoke test, its figures mean nothing' if quick else ''}"]
    for count, corpus in corpora.items():
        mine: list[Answer] = [answer for answer in answers if answer.job.count == count]
        said += lines(count, Scores(corpus, mine), variants)
    said.append("\nThe action units are one vector a clip: attention onto them is a constant.")
    said.append(
        "What the preset saw: its settings and number of epochs were chosen on these actors, each of which was a dev "
        f"actor in one fold (bench/{TRIALS.name}).\nThe SVM chose within each fold. So no lead over the SVM is claimed."
    )
    return "\n".join(said)


@click.command()
@click.option("--root", type=click.Path(path_type=Path), help="Folder of RAVDESS; else FOALNET_SHARED_DATA/ravdess.")
@click.option("--classes", default="4,8", show_default=True, help="Class sets.")
@click.option("--variants", default=",".join(NETWORKS), show_default=True, help="Networks.")
@click.option("--seeds", default=",".join(map(str, SEEDS)), show_default=True, help="Seeds of the networks.")
@click.option("--folds", default=5, type=click.IntRange(1, 5), show_default=True, help="So many of the five folds.")
@click.option("--jobs", default=1, type=click.IntRange(min=1), show_default=True, help="Trainings side by side.")
@click.option("--curve/--no-curve", default=True, show_default=True, help="Fewer training actors too, one seed.")
@click.option("--quick", is_flag=True, help="A smoke test: 4 classes, one seed, one fold, one epoch, no curve.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("work/bench/ravdess"), show_default=True)
def main(
    root: Path | None,
    classes: str,
    variants: str,
    seeds: str,
    folds: int,
    jobs: int,
    curve: bool,
    quick: bool,
    work: Path,
) -> None:
    """Print UA of every arm with intervals over actors, and paired differences."""
    try:
        said = bench(
            ravdess_root(root),
            work,
            counts=[4] if quick else [int(name) for name in listed(classes, ("4", "8"), "--classes")],
            variants=listed(variants, NETWORKS, "--variants"),
            seeds=[1] if quick else [int(name) for name in listed(seeds, tuple(map(str, range(1, 100))), "--seeds")],
            folds=1 if quick else folds,
            workers=jobs,
            curve=curve and not quick,
            quick=quick,
        )
    except KeyboardInterrupt:
        click.echo("bench: stopped; the same command goes on where it stood", err=True)
        sys.exit(5)
    except FoalnetError as error:
        click.echo(f"bench: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(said)


if __name__ == "__main__":
    main()
