"""The verb `lock`: writes digests of each staged utterance, or compares those in a file with the shards here."""

from __future__ import annotations

from pathlib import Path

import click

from foalnet.cli.stages import CORPUS
from foalnet.config import load_params
from foalnet.core.errors import DataError, UsageError
from foalnet.core.files import publish_bytes
from foalnet.core.paths import Paths

FILE = click.Path(path_type=Path)


@click.command(short_help="write or check digests of each staged utterance, for others who hold the corpus")
@CORPUS
@click.option("--out", type=FILE, help="The file to write [default: reports/CORPUS/lock.json].")
@click.option(
    "--check", type=FILE, metavar="FILE", help="Compare the shards here with a published FILE; write nothing."
)
@click.option(
    "--most", type=click.IntRange(min=1), default=10, show_default=True, help="Utterances to name of each difference."
)
def lock(corpus: str, out: Path | None, check: Path | None, most: int) -> None:
    """Write a file of digests of the staged CORPUS: per utterance of sound, crops, half pictures and features.

    The file also has the params and versions that staging depends on. It holds no media, words, labels, times or names,
    and may be published (docs/corpora.md says what it reveals): who holds the same corpus and has staged it sees by
    --check whether hers are the same bytes, which utterances differ, and which params or versions. Exit 0 if all
    utterances are equal, 3 if not.
    """
    if check is not None and out is not None:
        raise UsageError("--out and --check do not go together", action="give one of them")
    from foalnet.checks.lock import compare, lock_bytes, lock_of, read_lock

    params, paths = load_params(corpus), Paths(corpus)
    expected = None if check is None else read_lock(check)
    held = lock_of(params, paths)
    if held.words_only:
        click.echo(f"lock {corpus}: {held.words_only} utterances have words alone and are not in it", err=True)
    if expected is None:
        out = out or paths.lock
        publish_bytes(out, lock_bytes(held.lock))
        click.echo(f"lock {corpus}: {len(held.lock.utterances)} utterances in {out}")
        return
    result = compare(expected, held)
    for line in result.lines(most):
        click.echo(line)
    if result.differing:
        raise DataError(
            f"the shards of {corpus} are not those of this file",
            file=check,
            action="take over the params and versions that differ, run `dvc repro`, and check again"
            if result.why
            else "compare the raw files: those of the utterances above are of another release, or damaged",
        )
    click.echo(f"lock {corpus}: {result.utterances} utterances have the bytes of {check}")
