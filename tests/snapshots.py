"""What the outside sees, written down: the command line, the params' schema, their docs. `make snapshots` writes anew.

    python -m tests.snapshots

A test compares; a difference is either a mistake or a change that CHANGELOG.md should name. Written are
tests/golden/cli.txt, tests/golden/params.json, docs/cli.md, docs/params.md, the table of docs/method.md, the code that
the stages of dvc.yaml depend on, the comments
of params.yaml, which are the meanings that `foalnet config --explain` shows, and README's result table with its seeds
and the commit of its figures.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from ruamel.yaml.comments import CommentedMap

from foalnet.artifact.gitrepo import commit_of, git, has_git
from foalnet.cli.explain import meanings
from foalnet.cli.main import cli
from foalnet.config import Params, load_params
from foalnet.config.form import params_bytes, params_document
from foalnet.config.load import Entry
from foalnet.config.versions import DIFFERENCES
from foalnet.evidence.report.terminal import table_text
from foalnet.methods import METHODS
from tests.structure import REPOSITORY, code_deps

FIGURES = "reports/drawn/metrics.json"
RESULT = r"seeds? [0-9, ]+, commit `([0-9a-f]+)`"
WIDTH = 110
OTHER_BLOCKS = {
    "methods": "Params of each method; an entry overrides them in its own block `methods`",
    "variants": "What can be trained: a method, its inputs; a loss of weight 0 is left out (docs/add-a-method.md)",
}
BLOCKS = ("draw", "shards", "features", "train", "evaluate", "report", "gate", "tune")
# A line of params.yaml with its comment is no longer than this.
LINE = 130
NOTE = "<!-- Written by `make snapshots`; edit the verbs' help in foalnet/cli/, not this file. -->"
PARAMS_NOTE = "<!-- Written by `make snapshots`; edit foalnet/config/blocks.py and meanings.py, not this file. -->"


def helps() -> dict[str, str]:
    """Return verb -> its help text, "" for the group itself, in the order of `foalnet --help`."""
    # Help must not depend on the terminal or on what a machine sets.
    os.environ.pop("COLUMNS", None)
    top = click.Context(cli, info_name="foalnet", terminal_width=WIDTH, **cli.context_settings)
    texts = {"": cli.get_help(top)}
    for name in cli.list_commands(top):
        command = cli.get_command(top, name)
        assert command is not None
        if not command.hidden:
            own = click.Context(command, info_name=name, parent=top, terminal_width=WIDTH)
            texts[name] = command.get_help(own)
            for below, each in sorted(getattr(command, "commands", {}).items()):
                inner = click.Context(each, info_name=below, parent=own, terminal_width=WIDTH)
                texts[f"{name} {below}"] = each.get_help(inner)
    return {name: "\n".join(line.rstrip() for line in text.splitlines()) for name, text in texts.items()}


def cli_text() -> str:
    """Return every help text, one after the other."""
    return "\n\n\n".join(helps().values()) + "\n"


def cli_page() -> str:
    """Return docs/cli.md."""
    parts = [NOTE, "", "# The command line", "", "What `foalnet --help` and `foalnet VERB --help` print.", ""]
    for name, text in helps().items():
        parts += [f"## foalnet {name}".rstrip(), "", "```", text, "```", ""]
    return "\n".join(parts[:-1]) + "\n"


def params_schema() -> str:
    """Return the JSON schema of resolved params and of an entry of params.yaml."""
    schema = {"entry": Entry.model_json_schema(), "params": Params.model_json_schema()}
    schema["methods"] = {name: method.config_type.model_json_schema() for name, method in METHODS.items()}
    return json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def params_page() -> str:
    """Return docs/params.md: every param with default, unit, meaning and source."""
    lines = [
        PARAMS_NOTE,
        "",
        "# Params: everything that can change a result",
        "",
        "They are set in `params.yaml`; an entry below `corpora` overrides the blocks for its corpus.",
        "`foalnet config CORPUS --explain` shows the values for one corpus and the origin of each.",
        "A source names the origin of the idea; the value may differ from the paper's.",
        "",
        "| param | default of the code | unit | meaning | source |",
        "|---|---|---|---|---|",
    ]
    for path, meaning in meanings():
        cells = (f"`{path}`", default_of(path), meaning.unit, meaning.says, meaning.source)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def default_of(path: str) -> str:
    """Return a param's default as it is written, "" where an entry must give it."""
    model: Any = Params
    *outer, name = path.split(".")
    if outer[:1] == ["methods"]:
        model, outer = METHODS[outer[1]].config_type, []
    for step in outer:
        model = model.model_fields[step].annotation
    field = model.model_fields[name]
    if field.is_required():
        return ""
    return f"`{json.dumps(field.get_default(call_default_factory=True))}`"


def commented_params() -> str:
    """Return params.yaml with the meanings as its comments; values, their order and their style stay."""
    data = params_document(REPOSITORY / "params.yaml")
    says = {path: meaning.says for path, meaning in meanings()}
    for block in BLOCKS:
        _comment(data, block, Params.model_fields[block].annotation.__doc__, says, block)
    for name in data["methods"]:
        _comment(data["methods"], name, METHODS[name].config_type.__doc__, says, f"methods.{name}")
    for block, text in OTHER_BLOCKS.items():
        data.ca.items.pop(block, None)
        data.yaml_add_eol_comment(text, block, column=0)
    return "".join(_one_comment(line) for line in params_bytes(data).decode().splitlines(keepends=True))


def _comment(data: Any, block: str, text: str | None, says: Mapping[str, str], path: str) -> None:
    """Write the meaning of a block of params.yaml and of each of its params as comments."""
    for holder, name, param in _places(data[block], path, says):
        holder.ca.items.pop(name, None)
        holder.yaml_add_eol_comment(says[param], name, column=0)
    data.ca.items.pop(block, None)
    data.yaml_add_eol_comment(" ".join((text or "").split()).rstrip("."), block, column=0)


class NotCommittedError(Exception):
    """Figures that no commit holds cannot be told by a commit."""


def readme(home: Path = REPOSITORY) -> str:
    """Return README.md with the drawn corpus' committed figures: seeds, commit, and what `foalnet show` prints."""
    text = (home / "README.md").read_text("utf-8")
    figures = json.loads((home / FIGURES).read_text("utf-8"))
    seeds = load_params("drawn", home / "params.yaml").seeds
    result = result_block(figures, seeds, result_commit(home, named_commit(text)))
    written, blocks = re.subn(rf"(?s){RESULT}:\n\n```\ndrawn: .*?```", lambda _: result, text)
    assert blocks == 1, "README.md has one block that starts with `drawn: `, behind its seeds and its commit"
    return written


def result_block(figures: Mapping[str, Any], seeds: Sequence[int], commit: str) -> str:
    """Return README's seeds and commit with the table that `foalnet show` prints of figures."""
    said = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    return f"{said}, commit `{commit}`:\n\n```\n{table_text(figures)}\n```"


def method_page() -> str:
    """Return docs/method.md with the table of the two versions as foalnet/config/versions.py holds it."""
    text = (REPOSITORY / "docs" / "method.md").read_text("utf-8")
    head = "| param | released code | corrected | what the released code does |\n|---|---|---|---|\n"
    rows = "".join(
        f"| `{row.param}` | `{json.dumps(row.released)}` | `{json.dumps(row.corrected)}` | {row.says} |\n"
        for row in DIFFERENCES
    )
    written, tables = re.subn(r"(?m)^\| param \| released.*\n(?:\|.*\n)*", lambda _: head + rows, text)
    assert tables == 1, "docs/method.md has one table that starts with `| param | released`"
    return written


def named_commit(text: str) -> str:
    """Return the commit that README names beside its figures."""
    match = re.search(RESULT, text)
    assert match is not None, "README.md names seeds and commit of its figures"
    return match[1]


def result_commit(home: Path, named: str) -> str:
    """Return `named` where its figures are today's, or no whole history is at hand; else the last that changed them.

    NotCommittedError where the figures are others than the last commit's.
    """
    if not has_git(home) or is_shallow(home):
        return named
    if git(home, "status", "--porcelain", "--", FIGURES).stdout.strip():
        raise NotCommittedError(
            f"{FIGURES} has changes that no commit holds, so README.md cannot name their commit: "
            "commit it first, then run `make snapshots` again"
        )
    if commit_of(home, named) is not None:
        then = git(home, "show", f"{named}:{FIGURES}", check=False)
        if then.returncode == 0 and then.stdout == (home / FIGURES).read_text("utf-8"):
            return named
    return git(home, "log", "-1", "--format=%h", "--abbrev=10", "--", FIGURES).stdout.strip()


def is_shallow(home: Path) -> bool:
    """Tell whether a clone's history is cut: its first commit then seems to have changed every file."""
    return git(home, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"


def _places(node: CommentedMap, path: str, params: Collection[str]) -> Iterator[tuple[CommentedMap, str, str]]:
    """Yield (block, name, dotted path) of every param; what is inside a param that is a mapping has no path."""
    for name, value in node.items():
        if isinstance(value, CommentedMap) and f"{path}.{name}" not in params:
            yield from _places(value, f"{path}.{name}", params)
        else:
            yield node, name, f"{path}.{name}"


def _one_comment(line: str) -> str:
    """Put two spaces before a comment; one that makes the line too long is left to docs/params.md."""
    code, mark, comment = line.rstrip("\n").partition(" # ")
    if not mark or line.startswith("#"):
        return line
    whole = f"{code.rstrip()}  # {comment}"
    return (whole if len(whole) <= LINE else code.rstrip()) + "\n"


STAGE = re.compile(r"^  (?P<name>[a-z]+):\n(?:^(?: {3,}.*)?\n)+", re.M)
CODE_DEPS = re.compile(r'(?:^ +- "?foalnet/[^\n]*\n)+', re.M)


def graph() -> str:
    """Return dvc.yaml with the code of each stage's verb as the last of its dependencies."""

    def stage(match: re.Match[str]) -> str:
        body = match[0]
        indent = re.search(r"^( +)deps:\n", body, re.M)
        assert indent is not None, match["name"]
        lines = [f'"{dep}"' if "$" in dep else dep for dep in code_deps(match["name"])]
        return CODE_DEPS.sub("".join(f"{indent[1]}  - {line}\n" for line in lines), body)

    return STAGE.sub(stage, (REPOSITORY / "dvc.yaml").read_text())


SNAPSHOTS: dict[str, Callable[[], str]] = {
    "tests/golden/cli.txt": cli_text,
    "tests/golden/params.json": params_schema,
    "docs/cli.md": cli_page,
    "docs/params.md": params_page,
    "docs/method.md": method_page,
    "params.yaml": commented_params,
    "dvc.yaml": graph,
    "README.md": readme,
}


def write(home: Path = REPOSITORY) -> Iterator[str]:
    """Write every snapshot that differs and yield its name; README comes last, as its figures may lack a commit."""
    for name, make in SNAPSHOTS.items():
        text = make()
        if not (home / name).exists() or (home / name).read_text("utf-8") != text:
            (home / name).write_text(text, "utf-8")
            yield name


if __name__ == "__main__":
    written = []
    try:
        for each in write():
            written.append(each)
            print(f"wrote {each}")
    except NotCommittedError as error:
        sys.exit(str(error))
    if not written:
        print("the snapshots are up to date")
