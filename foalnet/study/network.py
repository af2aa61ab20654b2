"""What a study says of the networks of a run: their size, their arithmetic, and how they decided.

Shape letters: B utterances, K entries of an explanation.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from foalnet.core.records import Prediction
from foalnet.methods import Method, build_net
from foalnet.stages.train.group import Job
from foalnet.study.explain import SIMILARITY, columns, projected, shown, similarities
from foalnet.train.batches import Store, score_batches
from foalnet.train.environment import determined
from foalnet.train.fold import pad_s
from foalnet.train.state import Progress

DIGITS = 4


def net_of(job: Job, store: Store) -> Method:
    """Return the untrained network of a run."""
    run = job.run
    bare = replace(run.pretrained, folder=None) if run.pretrained else None
    return build_net(run.variant, run.params, classes=run.classes, shape=store.shape, pretrained=bare)


def network_facts(job: Job, progress: Mapping[str, Progress], store: Store) -> dict[str, Any]:
    """Return the size and arithmetic of a run's network, and how well it did on the dev parts."""
    net, one = net_of(job, store), job.run.params.variant(job.run.variant)
    return {
        "method": one.method,
        "inputs": list(one.inputs),
        "parameters": sum(p.numel() for p in net.parameters()),
        "trained_parameters": sum(p.numel() for p in net.parameters() if p.requires_grad),
        "flops": flops(net, store, sorted(key for key in job.run.labels if key in store), job),
        "dev_ua": float(np.mean([fold.best_ua for fold in progress.values()])),
        "epochs": float(np.mean([fold.epochs for fold in progress.values()])),
    }


def flops(net: Method, store: Store, keys: Sequence[str], job: Job) -> int:
    """Return the floating-point operations of a forward pass of one utterance, encoders included.

    The utterance (or dialogue, divided by its turns) is that of median length. Matrix products, convolutions and
    attentions count, a multiplication with its addition as two; elementwise functions do not, nor what is computed
    once for a clip (spectra, functionals of the sound).
    """
    units = sorted(store.units(keys), key=lambda unit: (store.length(unit), unit))
    (batch,) = score_batches(store, store.keys(units[len(units) // 2 :][:1]), pad_s=pad_s(job.run.params))
    # The fused kernels of an LSTM and of an attention are not counted, and without gradients a transformer is one.
    net.eval()(batch)  # the functionals of a clip are kept after the first pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            torch.backends.mkldnn.flags(enabled=False),
            sdpa_kernel(SDPBackend.MATH),
            FlopCounterMode(display=False) as counter,
        ):
            net(batch)
    return round(counter.get_total_flops() / len(batch.keys))


def explanation(
    job: Job, progress: Mapping[str, Progress], store: Store, rows: Sequence[Prediction], where: torch.device
) -> dict[str, dict[str, Any]]:
    """Return how a method decided, by name (foalnet.study.explain); {} where there is nothing to show.

    Each has its `columns`, its mean over the tested utterances of every class, and its values for the surest right and
    the surest wrong answer of every class.
    """
    net = net_of(job, store).to(where)
    with determined(job.run.params.determinism, torch.get_num_threads()):
        by_name = _explained(net, job, progress, store, {row.key: row.label for row in rows}, where)
    return {
        name: {
            "columns": columns(net, name, len(next(iter(by_key.values())))),
            "classes": {
                label: _rounded(np.mean([by_key[row.key] for row in rows if row.label == label], axis=0))
                for label in job.run.classes
                if any(row.label == label for row in rows)
            },
            "utterances": [
                {"key": row.key, "label": row.label, "predicted": row.predicted, "values": _rounded(by_key[row.key])}
                for row in examples(rows)
            ],
        }
        for name, by_key in sorted(by_name.items())
    }


@torch.no_grad()
def _explained(
    net: Method,
    job: Job,
    progress: Mapping[str, Progress],
    store: Store,
    labels: Mapping[str, str],
    where: torch.device,
) -> dict[str, dict[str, list[float]]]:
    """Return the values of every tested utterance, by name and key, of each by the network of its fold."""
    by_name: dict[str, dict[str, list[float]]] = {}

    def add(name: str, keys: Sequence[str], value_BK: torch.Tensor) -> None:
        by_name.setdefault(name, {}).update(zip(keys, value_BK.double().tolist(), strict=True))

    for fold in job.run.folds:
        test, vectors = job.run.task(fold, store).test, dict[str, torch.Tensor]()
        tested = set(test)
        net.load_state_dict(progress[fold.name].best_net)
        net.eval()
        for batch in score_batches(store, test, pad_s=pad_s(job.run.params)):
            rows_B = [row for row, key in enumerate(batch.keys) if key in tested]
            keys, outputs = [batch.keys[row] for row in rows_B], net(batch.to(where))
            for name, value_BK in shown(net, batch.to(where), outputs).items():
                add(name, keys, value_BK[rows_B])
            if (vectors_B2P := projected(net, outputs)) is not None:
                vectors |= zip(keys, vectors_B2P[rows_B], strict=True)
        if vectors:
            label_N = torch.tensor([job.run.classes.index(labels[key]) for key in vectors], device=where)
            add(SIMILARITY, list(vectors), similarities(torch.stack(list(vectors.values())), label_N))
    return by_name


def examples(rows: Sequence[Prediction]) -> list[Prediction]:
    """Return of every class the surest right and the surest wrong answer, of equal ones the first by key."""
    surest: dict[tuple[str, bool], Prediction] = {}
    for row in sorted(rows, key=lambda row: (-max(row.probabilities), row.key)):
        surest.setdefault((row.label, row.label != row.predicted), row)
    return [surest[place] for place in sorted(surest)]


def _rounded(values: Sequence[float] | np.ndarray) -> list[float]:
    return [round(float(value), DIGITS) for value in values]
