"""The paths of all outputs of a corpus, relative to the project folder. Only this module spells them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

# The protocol of every corpus' headline result; other protocols are reported in addition.
HEADLINE: Final = "loso_dev_session"
# A file at the root of a corpus that states what is known of the corpus as a whole (foalnet.corpora.base.CorpusFacts).
FACTS: Final = "foalnet-facts.json"
# File name of the sealed model in its folder.
MODEL: Final = "model.safetensors"


def run_name(variant: str, seed: int, split: str = "dev") -> str:
    """Return the name of a training run: `foal-s1`, and `foal-s1-four` for the split without a dev part."""
    return f"{variant}-s{seed}" + ("" if split == "dev" else f"-{split}")


@dataclass(frozen=True, slots=True)
class Paths:
    """The outputs of one corpus below `home`.

    >>> Paths("drawn").manifest.as_posix(), Paths("drawn").model("foal", 1).as_posix()
    ('data/drawn/manifest.jsonl', 'models/drawn/foal-s1')
    """

    corpus: str
    home: Path = Path()

    @property
    def data(self) -> Path:
        """Folder of inventory, manifest and shards."""
        return self.home / "data" / self.corpus

    @property
    def inventory(self) -> Path:
        """Relative path, size and SHA-256 of each file used."""
        return self.data / "inventory.json"

    @property
    def manifest(self) -> Path:
        """The checked utterance table."""
        return self.data / "manifest.jsonl"

    @property
    def manifest_digest(self) -> Path:
        """SHA-256 of the manifest, in the format of sha256sum."""
        return self.data / "manifest.sha256"

    @property
    def shards(self) -> Path:
        """Folder of the shards and their index."""
        return self.data / "shards"

    @property
    def features(self) -> Path:
        """Folder of a frozen encoder's picture features and their index."""
        return self.data / "features"

    @property
    def reports(self) -> Path:
        """Folder of everything that people read."""
        return self.home / "reports" / self.corpus

    @property
    def counts(self) -> Path:
        """Actual and expected counts, and the manifest's ledger."""
        return self.reports / "counts.json"

    @property
    def staging(self) -> Path:
        """What the stage `shards` detected, repaired and dropped."""
        return self.reports / "staging.json"

    @property
    def lock(self) -> Path:
        """Digests of each staged utterance, by which others who hold the corpus compare theirs; not in git."""
        return self.reports / "lock.json"

    @property
    def report_html(self) -> Path:
        """The report as an HTML page."""
        return self.reports / "report.html"

    @property
    def report_md(self) -> Path:
        """The report as Markdown."""
        return self.reports / "report.md"

    @property
    def metrics(self) -> Path:
        """Aggregate figures, kept in git."""
        return self.reports / "metrics.json"

    @property
    def headline(self) -> Path:
        """The few figures that `dvc metrics show` prints, kept in git."""
        return self.reports / "headline.json"

    @property
    def scores_svg(self) -> Path:
        """The scores with their intervals, as `dvc plots show` shows them."""
        return self.reports / "scores.svg"

    @property
    def curves_svg(self) -> Path:
        """The scores on the dev part by epoch, as `dvc plots show` shows them."""
        return self.reports / "curves.svg"

    @property
    def gate(self) -> Path:
        """The gate's decision on the run that made these results, kept in git; gate.md is its readable form."""
        return self.reports / "gate.json"

    @property
    def tune(self) -> Path:
        """Folder of the hyperparameter search: the trials of each variant and their summary."""
        return self.reports / "tune"

    def study(self, name: str) -> Path:
        """Return the folder of a study: its board, and the predictions of its runs."""
        return self.reports / "studies" / name

    @property
    def probe(self) -> Path:
        """Folder of what the stage `probe` measures on the trained runs."""
        return self.reports / "probe"

    @property
    def final(self) -> Path:
        """Folder of the sealed model and its card."""
        return self.home / "models" / self.corpus / "final"

    def model(self, variant: str, seed: int, split: str = "dev") -> Path:
        """Return the folder of one trained variant and seed, with all folds of a split."""
        return self.home / "models" / self.corpus / run_name(variant, seed, split)

    def run(self, variant: str, seed: int, protocol: str = HEADLINE) -> Path:
        """Return the folder of a run's predictions and metrics under a protocol.

        Each protocol without a dev part has its own folder inside the folder of the run that they share.
        """
        if protocol == HEADLINE:
            return self.reports / "runs" / run_name(variant, seed)
        return self.reports / "runs" / run_name(variant, seed, "four") / protocol
