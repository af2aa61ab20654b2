"""Runs the search of `foalnet tune`, from its checks to its page."""

from __future__ import annotations

from collections.abc import Callable

from foalnet.config import Params, Settings
from foalnet.core.paths import Paths
from foalnet.train.environment import at_start
from foalnet.tune.bench import Bench
from foalnet.tune.sampler import Sampler
from foalnet.tune.search import alone, outside, search, variants_of
from foalnet.tune.summary import publish


def tune(params: Params, settings: Settings, paths: Paths, *, log: Callable[[str], None] = lambda _: None) -> str:
    """Search every variant, write `reports/<corpus>/tune/`, and return a summary for the terminal.

    It calls `log` with a line after every trial. UsageError (exit 2) for an empty space, MachineError (exit 4) without
    optuna, Interrupted (exit 5) after a stop request.
    """
    variants = variants_of(params)
    Sampler(params.tune)
    settings = alone(settings, log)
    bench = Bench.of(params, settings, paths)
    log(f"tune {params.corpus}: {at_start(settings, params.train)}")
    for note in outside(params):
        log(note)
    for variant in variants:
        bench.check(bench.job(variant, params.tune.seeds[0], params.train))
    return publish(bench, [search(bench, variant, log=log) for variant in variants])
