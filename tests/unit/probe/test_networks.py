"""The networks of a trained run on disturbed clips: what they do not read changes no bit of their logits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from foalnet.config import Settings
from foalnet.config.probing import Probe
from foalnet.core.errors import DataError
from foalnet.probe.disturb import disturbances, disturbed
from foalnet.probe.networks import Network, Trained
from foalnet.stages.train.group import Group
from foalnet.stages.train.training import train_run
from foalnet.train.batches import Store
from tests.support.corpus.stores import RATE_HZ, corpus_params, make_store, write_corpus

SOUND = {"noise, SNR 20 dB", "noise, SNR 10 dB", "noise, SNR 0 dB", "sound missing", "sound 0.1 s late"}


@pytest.fixture
def one(tmp_path: Path) -> tuple[Trained, Network, Store]:
    """A network of one fold of the sound alone, and the clips."""
    paths = write_corpus(tmp_path, make_store(groups=5, per_group=8))
    params, settings = corpus_params(epochs=1), Settings(work=tmp_path / "work", workers=1, device="cpu")
    train_run(params, settings, paths, variant="audio_only", seed=1)
    group = Group.of(params, settings, paths)
    job = group.job("audio_only", 1, params.train)
    trained, store = Trained.of(group, job), group.store(job)
    return trained, trained.network(job.run.task(job.run.folds[0], store)), store


def test_only_what_a_network_reads_changes_its_logits(one: tuple[Trained, Network, Store]) -> None:
    _, network, store = one
    plain_NC = network.logits(store)
    assert torch.equal(network.logits(store), plain_NC)
    # All clips prepared first, as where their batches decide what is read.
    assert torch.allclose(replace(network, whole=True).logits(store), plain_NC, atol=1e-5)
    parts = {key: store.clips[key] for key in network.task.test}
    speakers = {key: f"S{place % 2}" for place, key in enumerate(parts)}
    changing = set()
    for each in disturbances(Probe(shift_s=0.1), RATE_HZ):
        clips, keys = disturbed(parts, speakers, each)
        assert keys
        if not torch.equal(network.logits(replace(store, clips={**store.clips, **clips})), plain_NC):
            changing.add(each.name)
    assert changing == SOUND


def test_stored_logits_of_another_test_part_or_other_values_are_refused(one: tuple[Trained, Network, Store]) -> None:
    trained, network, store = one
    stored = trained.stored[network.task.name]
    network.check(store, stored)
    with pytest.raises(DataError, match="the test part is not that of training"):
        network.check(store, None)
    off = {part: logits_ENC + 0.1 for part, logits_ENC in stored.logits_ENC.items()}
    with pytest.raises(DataError, match=r"does not give the logits that are stored: they differ by up to 0\.1"):
        network.check(store, replace(stored, logits_ENC=off))
