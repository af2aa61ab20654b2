"""Plans a run: its folds, their parts, and labels that exclude the test part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from foalnet.config import Params, Settings
from foalnet.config.blocks import Split, Train
from foalnet.config.variants import HALF
from foalnet.core.errors import DataError, UsageError
from foalnet.core.labels import AFFECT
from foalnet.core.records import Utterance
from foalnet.corpora.named import folds_of, record_of
from foalnet.corpora.splits import Fold, FoldLabels
from foalnet.encoders import Pretrained, open_weights
from foalnet.methods import CCC, method_of, needs_weights, weights_of
from foalnet.train.batches import Store, Turn, dialogues_of
from foalnet.train.encoders import Encoders
from foalnet.train.fold import FoldTask


@dataclass(frozen=True, kw_only=True)
class Run:
    """One variant and seed over all folds of a split: the inputs of `train_folds` besides the clips.

    `affect`: the ratings of utterances, for a variant that learns them. `named_split`: what the run's record says of
    its named split; None for folds by session or speaker.
    """

    variant: str
    seed: int
    params: Train
    classes: tuple[str, ...]
    folds: tuple[Fold, ...]
    labels: Mapping[str, str]
    groups: Mapping[str, str]
    affect: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    split: Split = "dev"
    named_split: Mapping[str, Any] | None = None
    pretrained: Pretrained | None = None
    encoders: Encoders | None = None
    dialogues: Mapping[str, tuple[Turn, ...]] = field(default_factory=dict)

    def task(self, fold: Fold, store: Store) -> FoldTask:
        """Return one fold's task: labels without the test part, keys sorted, keys without a clip left out."""
        parts: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
        for key in sorted(self.labels):
            if key in store:
                parts[fold.part_of(self.groups[key])].append(key)
        for name, keys in parts.items():
            if getattr(fold, name) and not keys:
                raise DataError(
                    f"fold {fold.name}: its {name} part ({', '.join(getattr(fold, name))}) has no utterance",
                    action="check reports/CORPUS/staging.json: was a whole session dropped?",
                )
        return FoldTask(
            fold=fold,
            variant=self.variant,
            seed=self.seed,
            params=self.params,
            classes=self.classes,
            labels=FoldLabels(fold, self.labels, self.groups),
            affect={key: self.affect[key] for key in parts["train"] if key in self.affect},
            train=tuple(parts["train"]),
            dev=tuple(parts["dev"]),
            test=tuple(parts["test"]),
            pretrained=self.pretrained,
            encoders=partial(self.encoders.of, fold.name) if self.encoders else None,
        )


def plan(
    params: Params,
    utterances: Sequence[Utterance],
    *,
    variant: str,
    seed: int,
    split: Split = "dev",
    pretrained: Pretrained | None = None,
    encoders: Encoders | None = None,
) -> Run:
    """Return the folds of a corpus' used utterances, by session, by speaker or of a named split, as `fold_by` says.

    The others among `utterances` are context for a method over turns, which gets whole dialogues.
    The run's params are those on which the variant depends. `pretrained`: the result of `pretrained_for`; `encoders`:
    the result of `published_encoders`. UsageError (exit 2) if the variant uses half pictures and the corpus has a
    feature table instead.
    """
    train = params.train.of(variant)
    if train.picture == "half" and params.train.picture == "features":
        raise UsageError(
            f"variant {variant} looks at half pictures; the pictures of corpus {params.corpus} are a feature table",
            action=f"train {variant.removesuffix(HALF)} instead",
        )
    used = [u for u in utterances if u.used]
    groups, folds = folds_of(params, used, split)
    return Run(
        variant=variant,
        seed=seed,
        params=train,
        classes=tuple(params.manifest.classes),
        folds=tuple(folds),
        labels={u.key: str(u.label) for u in used},
        groups=groups,
        affect=affect_of(used, variant, train),
        split=split,
        named_split=record_of(params, used, split),
        pretrained=pretrained,
        encoders=encoders,
        dialogues=dialogues_of(utterances, groups) if method_of(variant, train).over_turns else {},
    )


def affect_of(used: Sequence[Utterance], variant: str, train: Train) -> dict[str, tuple[float, ...]]:
    """Return key -> ratings (`labels.AFFECT`) if the variant learns them, else {}.

    UsageError (exit 2) if it does and the manifest has none.
    """
    if CCC not in weights_of(variant, train):
        return {}
    rated = {u.key: tuple(getattr(u, name) for name in AFFECT) for u in used}
    affect = {key: values for key, values in rated.items() if None not in values}
    if not affect:
        raise UsageError(
            f"variant {variant} learns {' and '.join(AFFECT)}, and no utterance has such ratings",
            action=f"train it on a corpus that is rated, or give its variant the loss {CCC} with weight 0",
        )
    return affect


def pretrained_for(variant: str, params: Train, settings: Settings) -> Pretrained | None:
    """Return the checked weights from which a variant's network starts; None for a random initialisation.

    MachineError (exit 4) if they are not ready on this machine.
    """
    if not needs_weights(variant, params):
        return None
    return open_weights(params.audio.encoder, settings, own=params.audio.weights)
