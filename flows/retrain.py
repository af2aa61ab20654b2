"""The flow `retrain`: updates one corpus' report in a git worktree, and promotes the result if the gate passes it.

It runs the stages of dvc.yaml through DVC, so that `dvc repro` on a laptop and this flow on a server leave the same
files and the same dvc.lock. The result is one commit on a branch `runs/<id>`; `champions/<corpus>` moves if the gate
passes it. If DVC has a default remote, the flow pushes the outputs; a later run retries a push that failed.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.states import Completed

from flows import artifacts
from flows.account import account_kept
from flows.alive import alive
from flows.push import Pushed, push_here, push_runs
from flows.stages import Stage, plan
from flows.tasks import params_digest, project_home, run_logger, run_name, run_stages
from flows.worktree import Tree, fetch, set_aside, worktree
from foalnet.artifact.gitrepo import LOCK, git, has_git, is_ancestor, refuse_conflict, text_at, untracked
from foalnet.config import load_params, load_settings
from foalnet.config.yamls import read_yaml
from foalnet.core.errors import FoalnetError, UsageError
from foalnet.core.files import json_bytes, publish_bytes, publish_file
from foalnet.core.paths import Paths
from foalnet.evidence.champion import RUNS, commit_tree, message, one_corpus, promote, results_key, rolled_back
from foalnet.evidence.gate import decide, markdown, read_side

RunStages = Callable[[Sequence[Stage], Path, Mapping[str, str] | None], list[dict[str, Any]]]
Publish = Callable[[Paths, Path, Mapping[str, Any], Pushed], None]
Show = Callable[[str, str], None]

# Outcomes of a run: the names of its final state.
PROMOTED, REFUSED, UNCHANGED, UNPUSHED, UNGATED = "Promoted", "Refused", "Unchanged", "Unpushed", "Ungated"


@flow(name="retrain", flow_run_name=run_name)
def retrain(corpus: str = "drawn") -> Any:
    """Bring the report of `corpus` up to date, commit the result, and promote it if the gate passes it.

    It works for the project folder that FOALNET_HOME names, in its own git worktree; without .git in the folder itself.
    It returns the stages that ran, the report's path, the branch, the decision, why the outputs are unpushed (None:
    they are pushed), and which earlier runs are unpushed, and why. It fails with the first stage that failed; stages
    that do not depend on it run all the same. A refused promotion or a remote that is down is no failure. Its final
    state is named after the outcome, with the reason as the message.
    """
    home = project_home()
    settings = load_settings(home)

    def run(stages: Sequence[Stage], folder: Path, env: Mapping[str, str] | None) -> list[dict[str, Any]]:
        run_logger().info("%d stages of corpus %s in %s", len(stages), corpus, folder)
        done = run_stages(stages, folder, settings=settings, env=env)
        life.check()
        return done

    with alive(settings.silence_s) as life:
        answer = bring_up_to_date(home, corpus, run=run, publish=artifacts.publish, show_failure=_show_failure)
    name = UNPUSHED if answer["unpushed"] else answer["outcome"]
    return Completed(name=name, message=f"{corpus}: {answer['says']}", data=answer)


def _show_failure(corpus: str, text: str) -> None:
    artifacts.show("failure", corpus, text, f"params {params_digest(corpus)}")


def bring_up_to_date(
    home: Path, corpus: str, *, run: RunStages, publish: Publish, show_failure: Show = lambda *_: None
) -> dict[str, Any]:
    """Do the work of `retrain`; `run` runs the stages, `publish` sends the artifacts of a folder."""
    refuse_conflict(home / LOCK)
    stages = plan(home, corpus)  # it refuses an unknown corpus before anything is written
    if not has_git(home):
        run_logger().info("no .git in %s: working in the folder itself, without branches and gate", home)
        done = run(stages, home, None)
        pushed, here = push_here(home, corpus), Paths(corpus, home)
        outcome = {"run": corpus, "outcome": UNGATED, "says": "no .git here: no branch, no gate"}
        facts = _facts(here, outcome, pushed)
        publish(here, here.report_html, facts, pushed)
        return _answer(corpus, done, Paths(corpus).report_html, facts)
    _refuse_untracked(home, stages)
    work = (home / load_settings(home).work).resolve()
    name = f"{corpus}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"
    with (
        worktree(home, corpus, load_settings(home)) as tree,
        account_kept(here := Paths(corpus, tree.folder), work, name, partial(show_failure, corpus)),
    ):
        fetch(tree, [here.inventory.relative_to(tree.folder).as_posix()])
        before = _champion_files(tree, corpus)
        done = run(stages, tree.folder, tree.env)
        outcome, is_new = _record(tree, corpus, name, before)
        # An earlier run pushed its branch itself, or marked it as unpushed.
        pushed = push_runs(tree, corpus, outcome["branch"] if is_new else None)
        facts = _facts(here, outcome, pushed)
        kept = _keep_report(here, work, facts["run"])
        publish(here, kept, facts, pushed)
        return _answer(corpus, done, kept, facts)


def _refuse_untracked(home: Path, stages: Sequence[Stage]) -> None:
    """Raise UsageError (exit 2) for files that a stage reads and git does not have: the worktree would lack them."""
    new = untracked(home, sorted({path for stage in stages for path in stage.reads}))
    if new:
        raise UsageError(
            f"not in git, but read by a stage: {', '.join(new)}",
            file=home,
            stage="retrain",
            action=f"git add {' '.join(new)} && git commit, then run the flow again",
        )


def _facts(paths: Paths, outcome: Mapping[str, Any], pushed: Pushed) -> dict[str, Any]:
    """Return a run's outcome together with its params and the result of its push."""
    says = "; ".join(filter(None, (outcome["says"], pushed.says)))
    return {
        **outcome,
        "says": says,
        "params": params_digest(paths.corpus, paths.home),
        "unpushed": pushed.unpushed,
        "waiting": dict(pushed.waiting),
    }


def _answer(corpus: str, done: Sequence[Mapping[str, Any]], report: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    ran = [each["stage"] for each in done if each["ran"]]
    run_logger().info("corpus %s: %d of %d stages ran; %s", corpus, len(ran), len(done), facts["says"])
    return {"corpus": corpus, "ran": ran, "report": report.as_posix(), **facts}


def _champion_files(tree: Tree, corpus: str) -> tuple[Paths, list[str]] | None:
    """Return where the champion's predictions and accounts are, and which are lost; None without a champion."""
    if tree.champion is None:
        return None
    recorded = (read_yaml(tree.folder / LOCK) or {}).get("stages", {})
    prefix = f"evaluate@{corpus}-"
    return set_aside(tree, corpus, [name.removeprefix(prefix) for name in recorded if name.startswith(prefix)])


def _metrics(corpus: str) -> str:
    return Paths(corpus).metrics.as_posix()


def _record(tree: Tree, corpus: str, run: str, before: tuple[Paths, list[str]] | None) -> tuple[dict[str, Any], bool]:
    """Run the gate, commit results and decision to the run's branch, promote; or report that nothing changed.

    Returns the outcome and whether the branch is new.
    """
    here = Paths(corpus, tree.folder)
    same = tree.champion is not None and all(
        text_at(tree.folder, tree.champion, path.relative_to(tree.folder).as_posix()) == path.read_text("utf-8")
        for path in (tree.folder / LOCK, here.metrics)
    )
    if same:
        assert tree.champion is not None
        says = "nothing changed since the champion"
        return _outcome(f"{corpus}-{tree.champion[:10]}", None, UNCHANGED, says), False
    decision = _ask_gate(tree, corpus, before)
    publish_bytes(here.gate, json_bytes(decision))
    publish_bytes(here.gate.with_suffix(".md"), markdown(decision).encode())
    files = [LOCK, "params.yaml", *(p.relative_to(tree.folder).as_posix() for p in _kept_in_git(here))]
    git(tree.folder, "add", "--force", "--", *files)
    content = one_corpus(tree.folder, git(tree.folder, "write-tree").stdout.strip(), corpus)
    known = _same_run(tree, corpus, content)
    if known is not None:
        says = f"nothing changed since {known}: " + "; ".join(decision["reasons"])
        return _outcome(known.removeprefix(f"{RUNS}/"), known, UNCHANGED, says), False
    title = f"{corpus}: {'promoted' if decision['promote'] else 'refused'} by the gate"
    # The champion comes first: the chain of first parents is the record of champions.
    parents = [tree.head] if tree.champion is None else [tree.champion]
    if tree.champion is not None and not is_ancestor(tree.folder, tree.head, tree.champion):
        parents.append(tree.head)
    text = message(title, run, reasons=decision["reasons"])
    commit = commit_tree(tree.folder, content, parents, text)
    branch = f"{RUNS}/{run}"
    git(tree.folder, "update-ref", f"refs/heads/{branch}", commit, "0" * 40)
    says = "; ".join(decision["reasons"])
    if not decision["promote"]:
        return _outcome(run, branch, REFUSED, f"refused: {says}"), True
    try:
        promote(tree.home, corpus, commit)
    except FoalnetError as error:
        return _outcome(run, branch, REFUSED, f"not promoted: {error}"), True
    return _outcome(run, branch, PROMOTED, f"promoted: {says}"), True


def _outcome(run: str, branch: str | None, outcome: str, says: str) -> dict[str, Any]:
    return {"run": run, "branch": branch, "outcome": outcome, "promoted": outcome == PROMOTED, "says": says}


def _kept_in_git(paths: Paths) -> list[Path]:
    return [paths.metrics, paths.headline, paths.gate, paths.gate.with_suffix(".md")]


def _ask_gate(tree: Tree, corpus: str, before: tuple[Paths, list[str]] | None) -> dict[str, Any]:
    """Read both sides and return the gate's decision."""
    here = Paths(corpus, tree.folder)
    params = load_params(corpus, tree.folder / "params.yaml")
    champion = None
    if before is not None:
        assert tree.champion is not None
        kept = [text_at(tree.folder, tree.champion, name) for name in (_metrics(corpus), Paths(corpus).gate.as_posix())]
        metrics, gate = (None if text is None else json.loads(text) for text in kept)
        aside, lost = before
        champion = read_side(aside, metrics=metrics, recorded=(gate or {}).get("challenger"), champion=True, lost=lost)
    key = results_key((tree.folder / LOCK).read_text("utf-8"), corpus)
    return decide(
        read_side(here),
        champion,
        corpus=corpus,
        commit=tree.champion,
        params=params.gate,
        rolled_back=rolled_back(tree.home, corpus, key),
    )


def _same_run(tree: Tree, corpus: str, content: str) -> str | None:
    """Return the branch of an earlier run with exactly these files in its commit; None where there is none."""
    names = git(tree.folder, "for-each-ref", "--format=%(refname:short)", f"refs/heads/{RUNS}/").stdout.split()
    for name in names:
        if name.startswith(f"{RUNS}/{corpus}-"):
            tree_id = git(tree.folder, "rev-parse", f"refs/heads/{name}^{{tree}}").stdout.strip()
            if tree_id == content:
                return name
    return None


def _keep_report(paths: Paths, work: Path, run: str) -> Path:
    """Copy the page to the work folder, which outlives the worktree; return its path."""
    folder = work / "reports" / run
    shutil.rmtree(folder, ignore_errors=True)
    for path in (paths.report_html, paths.report_md):
        publish_file(path, folder / path.name)
    return folder / paths.report_html.name
