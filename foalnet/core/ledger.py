"""The ledger: whether each item was kept, repaired or dropped, and the reason. No item is lost in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from foalnet.core.records import LedgerEntry

SHADOW = "shadow"
MISFILED = "misfiled"
SONG = "song_not_read"
OTHER = "other"
# Kind of an unused corpus file -> meaning, as stdout and the report print it.
IGNORED: dict[str, str] = {
    SHADOW: "shadow files of macOS",
    MISFILED: "looks like a file of this corpus, but its place, number or ending is another",
    SONG: "song of this corpus: speech alone is read",
    "fifo": "a pipe, never opened",
    "socket": "a socket, never opened",
    "device": "a device, never opened",
    OTHER: "not a part of this corpus' layout",
}
# Kinds that are counted without a list of their files.
UNNAMED = (SHADOW, OTHER)
# The reason of a silent sound that is kept and masked; the sample in the shard records it too.
SILENT = "sound_silent"
# Reason -> meaning, as the report prints it. `Ledger.drop` has these: the item is not used.
DROPPED: dict[str, str] = {
    "audio_nonfinite": "the sound holds NaN or infinite samples",
    "channel_missing": "the sound lacks the channel that the params name",
    "dialogue_failed": "staging the dialogue failed; the shards have none of its utterances",
    "dialogue_unlabelled": "a dialogue with sound, picture or transcript, but no label file",
    "duplicate_label_conflict": "the utterance has two label lines that disagree",
    "features_unpaired": "a row of the feature table without a sound file",
    "file_missing": "the table names a file that is not there",
    "label_missing": "an utterance with sound, transcript or a gap in the numbering, but without a label line",
    "label_unparsed": "a label line that does not follow the grammar",
    "length_impossible": "the clip is far too short or too long to hold its sentence",
    "segment_invalid": "the label's times are empty, negative, reversed or far outside the recording",
    "text_missing": "the corpus is of text alone, and the utterance has none",
    "transcript_unparsed": "a transcription line that does not follow the grammar",
    "vote_unparsed": "a rater's line that does not follow the grammar; the utterance keeps its other votes",
    "wav_missing": "no sound in sentences/wav or dialog/wav",
    "wav_unreadable": "the sound file cannot be read",
    "worker_died": "the process that staged it was killed or ran out of memory, twice",
}
# `Ledger.repair` has these: the item is used after a repair.
REPAIRED: dict[str, str] = {
    "audio_padded": "shorter than the shortest clip; padded with zeros",
    "audio_resampled": "the sound had another rate or several channels",
    "audio_truncated": "longer than max_s; only its start is used",
    "channels_cancelled": "channels of opposite phase cancel each other in the mean; the loudest one is used",
    "duplicate_label": "the utterance has two label lines that agree; one is used",
    "duplicate_sound": "the utterance has two files of its sound or clip; one is used",
    "encoding_repaired": "a file that is not UTF-8 was read as Latin-1, Windows-1252, or UTF-16 if it has its mark",
    "face_by_table": "of several faces the one at the point that the table of sides gives was staged",
    "name_corrected": "a file's name has a slip that the corpus is known for",
    "segment_clamped": "the label ends shortly after the end of the recording; the existing part is used",
    "side_by_audit": "staged with the sides exchanged, because sound and motion indicate it",
    "side_by_table": "staged with the sides exchanged, because the table of sides says so",
    "sound_begins_late": "the sound of the clip begins after its picture; silence stands before it",
    "sound_ends_early": "the sound of the clip ends before its picture; silence stands after it",
    "text_repaired": "control characters in a transcript, left by a wrong encoding, became the characters meant",
    "text_truncated": "more words than train.text.words; the first are used",
    "times_repaired": "the table's times are unreadable, empty or reversed; the utterance is given one second",
    "wav_from_dialogue": "sentences/wav has no file; cut from dialog/wav",
}
# `Ledger.keep` has these: the item stays as it is. `shards.silent_sound: drop` drops a silent sound instead.
KEPT: dict[str, str] = {
    "channel_shared": "shards.channel is speaker, but the sound has one channel, or one person fills the picture",
    "detector_failed": "the face detector failed on a frame; the frame counts as having no face",
    "face_off_point": "the point that the table of sides gives is in no face; the face was chosen by sound and motion",
    "face_unsure": "several faces, and no mouth surely moves with the sound; the largest and steadiest face is used",
    "label_not_used": "the raw label belongs to no class of this experiment",
    "length_differs": "the sound's length differs from its label's by more than the tolerance",
    "length_doubted": "the clip's length does not fit its words or the table's times; it is used as it is",
    "no_face": "no face was detected in any frame",
    "side_doubted": "sound and motion contradict the sides that the dialogue was staged with",
    "sound_clipped": "more than one sample in a thousand is at full scale, in runs of three or more",
    "sound_of_clip": "the sound is that of the video, by shards.sound",
    SILENT: "the sound is silent: zeros, a constant, or one 16-bit step around it",
    "streams_not_used": "the clip has further pictures or sound tracks; the first of each is used",
    "transcript_missing": "no transcript line",
    "video_damaged": "frames inside the video do not decode; they are masked",
    "video_missing": "no video; the utterance is kept with every frame masked",
    "video_rate_differs": "the AVI states two frame rates; the rate of its presentation stamps is used",
    "video_truncated": "the video ends inside the utterance; the missing frames are masked",
    "video_unreadable": "the video file cannot be decoded",
    "wav_truncated": "the sound file is shorter than its header states; the existing part is used",
}
REASONS: dict[str, str] = DROPPED | REPAIRED | KEPT


class Ledger:
    """Collects entries; `counts()`, `rows()` and `entries` do not depend on the order of the calls.

    >>> ledger = Ledger()
    >>> ledger.drop("Ses01F_impro01_F000", "wav_unreadable")
    >>> ledger.keep("Ses01F_impro01_F001")
    >>> ledger.counts()
    {'dropped/wav_unreadable': 1, 'kept': 1}
    """

    def __init__(self, entries: Iterable[LedgerEntry] = ()) -> None:
        self._entries: list[LedgerEntry] = list(entries)

    def keep(self, item: str, reason: str = "", detail: str = "") -> None:
        """Record an item that stays as it is; a reason names a peculiarity, such as masked frames."""
        self._add("kept", item, reason, detail)

    def repair(self, item: str, reason: str, detail: str = "") -> None:
        """Record an item that is used after a repair."""
        self._add("repaired", item, reason, detail)

    def drop(self, item: str, reason: str, detail: str = "") -> None:
        """Record an item that is not used, with the reason."""
        self._add("dropped", item, reason, detail)

    def _add(self, kind: str, item: str, reason: str, detail: str) -> None:
        if reason not in REASONS and not (kind == "kept" and reason == ""):
            raise ValueError(f"unknown ledger reason {reason!r}: add it with its meaning to DROPPED, REPAIRED or KEPT")
        self._entries.append(LedgerEntry(kind=kind, item=item, reason=reason, detail=detail))  # type: ignore[arg-type]

    @property
    def entries(self) -> list[LedgerEntry]:
        """All entries, sorted by item, kind, reason."""
        return sorted(self._entries, key=lambda e: (e.item, e.kind, e.reason, e.detail))

    def counts(self) -> dict[str, int]:
        """Return `kind/reason` -> number of entries, sorted; entries kept without a reason count as `kept`."""
        tally = Counter(f"{e.kind}/{e.reason}" if e.reason else e.kind for e in self._entries)
        return dict(sorted(tally.items()))

    def rows(self) -> list[dict[str, str]]:
        """Return the entries that have a reason as JSON rows, sorted."""
        return [
            {"kind": e.kind, "item": e.item, "reason": e.reason, "detail": e.detail} for e in self.entries if e.reason
        ]
