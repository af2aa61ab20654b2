"""The verb `verify`: recomputes everything that a report rests on and compares it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from foalnet.config import load_params, load_settings
from foalnet.config.load import read_file
from foalnet.core.redact import redact

if TYPE_CHECKING:
    from foalnet.checks.verify import Link


@click.command(short_help="recompute and compare what a report rests on, link by link")
@click.argument("corpus", required=False)
@click.option(
    "--remote",
    is_flag=False,
    flag_value="",
    metavar="[NAME]",
    help="Also fetch each object of a DVC remote and compare its digest [default: the default remote].",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: corpus -> `code` and the links.")
@click.pass_context
def verify(context: click.Context, corpus: str | None, remote: str | None, as_json: bool) -> None:
    """Recompute the chain of digests behind the report of CORPUS (default: all) and name every link that differs.

    It checks commit, code and params, dvc.lock's record of each stage, the files in workspace and DVC's cache, and how
    inventory, manifest, shards and models refer to each other. It rebuilds manifest, scores and report and compares
    them byte for byte; it stages and trains nothing and writes no output.

    Each line starts with ok, differs, absent or skipped; a failing one ends with the next action. Exit 0 if every link
    holds, 3 if one differs, 4 if one cannot be read on this machine.
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
        # 3 before 4: a difference is worse than an absent file.
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
