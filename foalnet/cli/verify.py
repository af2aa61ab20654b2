"""The verb that takes the chain behind a report anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from foalnet.config import load_params, load_settings
from foalnet.config.load import read_file
from foalnet.core.redact import redact

if TYPE_CHECKING:
    from foalnet.checks.verify import Link


@click.command(short_help="is the report what repository and data make it? link by link")
@click.argument("corpus", required=False)
@click.option(
    "--remote",
    is_flag=False,
    flag_value="",
    metavar="[NAME]",
    help="Fetch each object of a DVC remote too and compare it with its name [default: the default remote].",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: corpus -> `code` and the links.")
@click.pass_context
def verify(context: click.Context, corpus: str | None, remote: str | None, as_json: bool) -> None:
    """Take the chain of digests behind the report of CORPUS anew (of all, without it) and name every link that differs.

    Commit, code, params, what dvc.lock records of each stage, the bytes in workspace and DVC's cache, then what the
    files say of each other: inventory, manifest, shards, models. Manifest, scores and report are made anew and compared
    byte for byte; nothing is staged or trained.

    Each line says ok, differs, absent or skipped; what does not hold ends with the next action. No output is written.
    Exit 0 when every link holds, 3 when one differs, 4 when one cannot be read on this machine.
    """
    from foalnet.checks.verify import code_of
    from foalnet.checks.verify import verify as links_of

    settings, results, worst = load_settings(), {}, 0
    for name in [corpus] if corpus else list(read_file().corpora):
        links = []
        for link in links_of(load_params(name), settings, remote=remote):
            links.append(link)
            if not as_json:
                click.echo(redact(str(link)))
        results[name] = {"code": code_of(links), "links": [link.as_json() for link in links]}
        # 3 before 4: what differs is worse than what is not here.
        worst = min(filter(None, (worst, code_of(links))), default=0)
        if not as_json:
            click.echo(summary(name, links))
    if as_json:
        click.echo(json.dumps(results, indent=1, ensure_ascii=False))
    context.exit(worst)


def summary(corpus: str, links: list[Link]) -> str:
    """Return the last line: how many links hold, and the first that does not."""
    count = {verdict: sum(link.verdict == verdict for link in links) for verdict in ("ok", "differs", "absent")}
    first = next((link.name for link in links if link.verdict == "differs"), None)
    first = first or next((link.name for link in links if link.verdict == "absent"), None)
    text = f"{corpus}: {count['ok']} links hold, {count['differs']} differ, {count['absent']} are absent"
    return f"{text}; the first: {first}" if first else text
