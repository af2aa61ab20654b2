"""T92: all readers under hostile input."""

from __future__ import annotations

from foalnet.core.errors import DataError, UsageError
from tests.fuzz import binaries, corpora, records, texts
from tests.fuzz.target import Target

TARGETS = (
    # These three refuse nothing: what they cannot use is in the ledger, or None.
    Target(name="labels", strategy=texts.labels_input, check=texts.check_labels, errors=()),
    Target(name="transcript", strategy=texts.transcript_input, check=texts.check_transcript, errors=()),
    Target(name="lines", strategy=texts.line_input, check=texts.check_line, errors=()),
    Target(name="sides", strategy=texts.sides_input, check=texts.check_sides),
    Target(name="table", strategy=texts.table_input, check=texts.check_table),
    Target(name="meld", strategy=corpora.meld_input, check=corpora.check_meld),
    Target(name="votes", strategy=corpora.votes_input, check=corpora.check_votes),
    Target(name="params", strategy=texts.params_input, check=texts.check_params, errors=(UsageError,)),
    Target(name="settings", strategy=texts.settings_input, check=texts.check_settings, errors=(UsageError,)),
    Target(
        name="inventory",
        strategy=records.json_input("inventory.json", records.inventory_facts),
        check=records.check_inventory,
    ),
    Target(name="manifest", strategy=records.manifest_input, check=records.check_manifest),
    Target(
        name="index",
        strategy=records.json_input("index.json", records.index_facts, records.index_twice),
        check=records.check_index,
    ),
    Target(
        name="lock",
        strategy=records.json_input("foalnet-lock.json", records.lock_facts),
        check=records.check_lock,
    ),
    Target(
        name="predictions",
        strategy=records.predictions_input,
        check=records.check_predictions,
    ),
    Target(name="video", strategy=binaries.avi_input, check=binaries.check_avi),
    Target(name="checkpoint", strategy=binaries.checkpoint_input, check=binaries.check_checkpoint),
    Target(name="tar", strategy=binaries.tar_input, check=binaries.check_tar, errors=(DataError, ValueError)),
)
