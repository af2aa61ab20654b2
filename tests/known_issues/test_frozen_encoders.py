"""`train.encoders: single`: fused variants take the encoders of the same seed's single runs; AVEL shapes a stem."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from foalnet.artifact.checkpoint import load_checkpoint
from foalnet.config import Params, Settings
from foalnet.config.blocks import Train
from foalnet.config.load import runs_of
from foalnet.core.errors import DataError, MachineError, UsageError
from foalnet.core.paths import Paths
from foalnet.methods import FoalNet, Objective, build_net
from foalnet.nets import Batch, Frozen, Steps
from foalnet.nets.frozen import inverse_root
from foalnet.stages.evaluate.scoring import evaluate_run
from foalnet.stages.train.training import train_run
from foalnet.train.batches import Store, eval_batches
from foalnet.train.encoders import encoded_store, prepared_store
from foalnet.train.environment import Stop
from foalnet.train.fold import train_fold
from tests.support.corpus.stores import corpus_params, make_params, make_run, make_store, write_corpus

CPU = torch.device("cpu")
VARIANTS = ["audio_only", "video_only", "foal"]


def single_params() -> Params:
    params = corpus_params()
    train = params.train.model_copy(update={"encoders": "single"})
    return params.model_copy(update={"train": train, "variants": VARIANTS})


def settings(home: Path) -> Settings:
    return Settings(work=home / "work", device="cpu", threads=1, workers=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A home with audio_only, video_only and foal trained on their encoders."""
    home = tmp_path_factory.mktemp("home")
    paths = write_corpus(home, make_store(per_group=8, without_picture=1))
    for variant in VARIANTS:
        train_run(single_params(), settings(home), paths, variant=variant, seed=1)
    return paths


def frozen_net() -> tuple[FoalNet, Store]:
    torch.manual_seed(0)
    synthetic = make_store(per_group=4)
    net = build_net("foal", make_params(encoders="single"), classes="abcd", shape=synthetic.store.shape)
    assert isinstance(net, FoalNet)
    return net, synthetic.store


def test_the_encoders_of_a_fold_are_those_that_its_single_runs_chose(trained: Paths) -> None:
    for fold in ("Session1", "Session4"):
        fused, _ = load_checkpoint(trained.model("foal", 1) / f"fold-{fold}.safetensors")
        for modality, single in (("audio", "audio_only"), ("video", "video_only")):
            tensors, _ = load_checkpoint(trained.model(single, 1) / f"fold-{fold}.safetensors")
            own = {name: value for name, value in tensors.items() if name.startswith("encoder.")}
            assert own
            for name, value in own.items():
                assert torch.equal(fused[f"{modality}.{name}"], value), name


def test_the_account_names_the_encoders_by_their_checkpoints(trained: Paths) -> None:
    recorded = json.loads((trained.model("foal", 1) / "train.json").read_text())["encoders"]
    assert sorted(recorded) == ["audio_only-s1", "video_only-s1"]
    for name, facts in recorded.items():
        train = json.loads((trained.model(name.removesuffix("-s1"), 1) / "train.json").read_text())
        assert facts["epochs"] == {fold: row["chosen_epoch"] for fold, row in train["folds"].items()}
    assert "encoders" not in json.loads((trained.model("audio_only", 1) / "train.json").read_text())


def test_a_missing_single_run_is_named_with_the_command(tmp_path: Path) -> None:
    paths = write_corpus(tmp_path, make_store(per_group=8))
    with pytest.raises(MachineError, match="audio_only-s1") as error:
        train_run(single_params(), settings(tmp_path), paths, variant="foal", seed=1)
    assert "dvc repro train@drawn-audio_only-s1" in str(error.value)


def test_encoders_and_logits_of_another_corpus_are_refused(tmp_path: Path) -> None:
    paths, other = (write_corpus(tmp_path / name, make_store(per_group=8, seed=n)) for n, name in enumerate("ab"))
    for variant in ("audio_only", "video_only"):
        train_run(single_params(), settings(tmp_path), paths, variant=variant, seed=1)
    shutil.rmtree(paths.shards)
    shutil.copytree(other.shards, paths.shards)
    with pytest.raises(DataError, match="whose inputs are not"):
        train_run(single_params(), settings(tmp_path), paths, variant="foal", seed=1)
    paths.manifest.write_text(paths.manifest.read_text() + "\n")
    with pytest.raises(DataError, match="another manifest"):
        evaluate_run(single_params(), paths, variant="audio_only", seed=1)


def test_avel_reaches_what_the_classifier_reads() -> None:
    net, store = frozen_net()
    net.train()
    batch = next(eval_batches(store, sorted(store.clips)))
    label_B = torch.arange(len(batch.keys)) % 4
    loss = Objective()(net, net(batch), label_B)
    loss.parts["avel"].backward()
    for branch in net.encoders.values():
        assert isinstance(branch, Frozen)
        assert all(p.grad is None for p in branch.encoder.parameters())
        shaped = [p for p in branch.stem.parameters() if p.grad is not None and bool(p.grad.abs().sum() > 0)]
        assert shaped, "AVEL shapes the stem"
    net.zero_grad()
    loss = Objective()(net, net(batch), label_B)
    loss.parts["cross_entropy"].backward()
    for branch in net.encoders.values():
        assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in branch.stem.parameters())


def test_the_stem_reads_whitened_steps() -> None:
    net, store = frozen_net()
    branch = net.encoders["audio"]
    assert isinstance(branch, Frozen)
    batches = list(eval_batches(store, sorted(store.clips), 7))
    branch.fit(batches)
    with torch.no_grad():
        rows_ND = torch.cat([each.values_BTD[each.mask_BT] for each in map(branch.encode, batches)]).double()
        white_ND = (rows_ND - branch.mean_D) @ branch.whitening_DD.double()
    assert float(white_ND.mean(dim=0).abs().max()) < 1e-3
    # A direction of next to no variance stays small; none is larger than 1.
    spread_D = torch.linalg.eigvalsh(white_ND.T @ white_ND / len(white_ND))
    assert float(spread_D.max()) == pytest.approx(1.0, abs=0.01)
    assert int((spread_D > 0.5).sum()) == int(
        (torch.linalg.eigvalsh(torch.cov(rows_ND.T)) > 1e-3 * rows_ND.var(0).mean()).sum()
    )


def test_the_inverse_root_of_a_covariance() -> None:
    # By hand: variances 4 and 1 along axes turned by 45 degrees; a thousandth of their mean is added to each.
    root = inverse_root(torch.tensor([[2.5, 1.5], [1.5, 2.5]], dtype=torch.float64))
    along, across = (4 + 0.0025) ** -0.5, (1 + 0.0025) ** -0.5
    expected = torch.tensor([[along + across, along - across], [along - across, along + across]]) / 2
    assert torch.allclose(root, expected.double(), atol=1e-7)
    assert not inverse_root(torch.zeros(3, 3, dtype=torch.float64)).any()


def test_steps_made_once_give_the_answers_of_the_whole_network() -> None:
    net, store = frozen_net()
    keys = sorted(store.clips)
    ready = prepared_store(net, store, keys, pad_s=None)
    ready = encoded_store(net, ready, keys, CPU, make_params(), pad_s=None)
    net.eval()
    with torch.no_grad():
        for whole, made in zip(eval_batches(store, keys, 7), eval_batches(ready, keys, 7), strict=True):
            assert whole.keys == made.keys and not made.raw and made.encoded.keys() == {"audio", "video"}
            torch.testing.assert_close(net(whole).logits_BC, net(made).logits_BC, rtol=1e-4, atol=1e-5)


def test_a_fold_computes_its_encoders_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic = make_store(per_group=4)
    run = make_run(synthetic, "foal", params=make_params(encoders="single", epochs=2))
    task = run.task(run.folds[0], synthetic.store)
    computed: list[str] = []
    encode = Frozen.encode

    def counted(branch: Frozen, batch: Batch) -> Steps:
        computed.extend(f"{branch.modality} {key}" for key in batch.keys)
        return encode(branch, batch)

    monkeypatch.setattr(Frozen, "encode", counted)
    train_fold(task, synthetic.store, tmp_path / "fold.safetensors", device=CPU, stop=Stop())
    keys = (*task.train, *task.dev, *task.test)
    assert sorted(computed) == sorted(f"{modality} {key}" for modality in ("audio", "video") for key in keys)


def test_the_graph_depends_on_the_runs_that_provide_the_encoders() -> None:
    own = runs_of("c", ["audio_only", "foal"], [1], ["loso_dev_session"], train=Train())
    assert own["c-foal-s1"]["audio"] == "data/c/shards/index.json" != own["c-foal-s1"]["video"]
    single = runs_of(
        "c", ["audio_only", "foal_half"], [2], ["loso_dev_session", "loso_fixed_epochs"], train=Train(encoders="single")
    )
    assert single["c-foal_half-s2-four"]["audio"] == "models/c/audio_only-s2-four"
    assert single["c-foal_half-s2"]["video"] == "models/c/video_only_half-s2"
    assert single["c-audio_only-s2"]["audio"] == "data/c/shards/index.json"


def test_params_with_untrained_singles_are_refused() -> None:
    with pytest.raises(UsageError, match="video_only"):
        corpus_params(encoders="single")
