"""Where every output of a corpus lies, relative to the project's folder: the one place that spells these names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Paths:
    """The outputs of one corpus below `home`."""

    corpus: str
    home: Path = Path()

    @property
    def data(self) -> Path:
        """Folder of inventory, manifest and shards."""
        return self.home / "data" / self.corpus

    @property
    def inventory(self) -> Path:
        """Relative path, size and sha256 of each file used."""
        return self.data / "inventory.json"

    @property
    def manifest(self) -> Path:
        """The checked utterance table."""
        return self.data / "manifest.jsonl"

    @property
    def shards(self) -> Path:
        """Folder of the shards and their index."""
        return self.data / "shards"

    @property
    def features(self) -> Path:
        """Folder of the picture features of a frozen encoder and their index."""
        return self.data / "features"

    @property
    def reports(self) -> Path:
        """Folder of everything a person reads."""
        return self.home / "reports" / self.corpus

    @property
    def counts(self) -> Path:
        """Counts found and expected, and the manifest's ledger."""
        return self.reports / "counts.json"

    @property
    def staging(self) -> Path:
        """What staging found, repaired and dropped."""
        return self.reports / "staging.json"

    @property
    def report_html(self) -> Path:
        """The report."""
        return self.reports / "report.html"

    @property
    def report_md(self) -> Path:
        """Its Markdown twin."""
        return self.reports / "report.md"

    @property
    def metrics(self) -> Path:
        """Aggregate figures, kept in git."""
        return self.reports / "metrics.json"

    def model(self, variant: str, seed: int) -> Path:
        """Folder of one trained variant and seed, all folds."""
        return self.home / "models" / self.corpus / f"{variant}-s{seed}"

    def run(self, variant: str, seed: int) -> Path:
        """Folder of that run's predictions and metrics."""
        return self.reports / "runs" / f"{variant}-s{seed}"
