"""Sound files and feature tables that would harm the machine that stages them (T25 to T27, T40, T49 beyond videos)."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from foalnet.config.blocks import Shards
from foalnet.core.errors import DataError
from foalnet.corpora.tables import read_table
from foalnet.media import AudioUnreadable, probe_wave, read_wave, resample
from foalnet.media import audio as audio_module
from tests.support.corpus.staging import DIALOGUE, Place, entries, opens_of, other_dialogue_is_untouched, samples
from tests.support.corpus.trees import ravdess_tree, sound_file, stages, write
from tests.support.fake_decoder import disguises
from tests.support.marks import red_when

KEY = f"{DIALOGUE}_F000"
LENIENT = Shards(detector="fixed", max_drop_fraction=1.0)


def dropped(place: Place, key: str) -> bool:
    """Tell whether an utterance, and it alone of its dialogue, was dropped for a sound that cannot be read."""
    place.stage()
    left = {name for name in samples(place) if name.startswith(DIALOGUE)}
    return entries(place) == {key: [("dropped", "wav_unreadable")]} and key not in left and len(left) == 2


@red_when("media/audio.py", "what is no sound file is tried with FFmpeg, without fences")
@pytest.mark.parametrize("kind", ["playlist", "remote", "concat", "neighbour", "sdp", "dash"])
def test_t26_a_disguised_wav_opens_nothing_and_sends_no_request(
    place: Place, whole: Place, listener: tuple[str, list[str]], kind: str
) -> None:
    url, addresses = listener
    place = Place(home=place.home, root=place.root, shards=LENIENT)
    wav = sound_file(place.root, KEY)
    secret = wav.with_name("secret.wav")
    shutil.copy(wav, secret)
    wav.write_text(disguises(secret, url)[kind])
    with opens_of(secret) as opens:
        assert dropped(place, KEY)
        assert opens() == 0 and addresses == []
        secret.read_bytes()
        assert opens() == 1, "an open would have been seen"
    assert other_dialogue_is_untouched(whole, place)


@red_when("media/audio.py", "what is no sound file is tried with FFmpeg, without fences")
def test_t26_a_disguised_recording_drops_what_is_cut_from_it(place: Place, listener: tuple[str, list[str]]) -> None:
    url, addresses = listener
    place = Place(home=place.home, root=place.root, shards=LENIENT)
    recording = place.root / f"Session1/dialog/wav/{DIALOGUE}.wav"
    secret = recording.with_name("secret.wav")
    recording.rename(secret)
    recording.write_text(disguises(secret, url)["neighbour"])
    sound_file(place.root, KEY).unlink()
    with opens_of(secret) as opens:
        assert dropped(place, KEY)
        assert opens() == 0 and addresses == []


def with_rate(path: Path, rate_hz: int) -> None:
    """Write another rate into a WAV's header."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"fmt ") + 12, rate_hz)
    path.write_bytes(data)


def claiming(path: Path, claimed: int) -> None:
    """Replace a WAV by a FLAC with a header that claims that many samples."""
    soundfile.write(path, np.zeros(16000, np.int16), 16000, format="FLAC", subtype="PCM_16")
    data = bytearray(path.read_bytes())
    # STREAMINFO begins at byte 8; the lower 36 of the 64 bits from its byte 10 on are the number of samples.
    (packed,) = struct.unpack_from(">Q", data, 18)
    struct.pack_into(">Q", data, 18, packed >> 36 << 36 | claimed)
    path.write_bytes(data)


HARMFUL: dict[str, Callable[[Path], None]] = {
    "1 Hz": lambda path: with_rate(path, 1),
    "0 Hz": lambda path: with_rate(path, 0),
    "a rate that shares no factor": lambda path: with_rate(path, 15_999),
    "4 GHz": lambda path: with_rate(path, 0xFFFFFFFF),
    "ten hours": lambda path: claiming(path, 10 * 3600 * 16_000),
    "no length": lambda path: claiming(path, 0),
}


@red_when("clips/sound.py", "sound that cannot be read is not caught")
@red_when("media/audio.py", "any rate is a rate", case="1 Hz")
@pytest.mark.parametrize("name", sorted(HARMFUL))
def test_t25_a_sound_that_would_eat_the_machine_is_dropped_and_counted(place: Place, whole: Place, name: str) -> None:
    place = Place(home=place.home, root=place.root, shards=LENIENT)
    HARMFUL[name](sound_file(place.root, KEY))
    assert dropped(place, KEY)
    assert other_dialogue_is_untouched(whole, place)


@red_when("media/audio.py", "the number of samples is not limited")
def test_t25_what_a_small_file_unpacks_to_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros((4000, 8), np.int16), 48_000, subtype="PCM_16")
    assert probe_wave(path).samples == len(read_wave(path)[0]) == 4000
    monkeypatch.setattr(audio_module, "MAX_SAMPLES", 3999)
    for read in (probe_wave, read_wave):
        with pytest.raises(AudioUnreadable, match=r"it has 4,000 samples; the limit is 3,999"):
            read(path)


@red_when("media/audio.py", "the last block is left out")
def test_t25_blocks_give_the_sound_that_one_reading_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    wave_NC = np.random.default_rng(0).normal(0, 0.2, (1001, 3)).astype(np.float32)
    soundfile.write(path, wave_NC, 16_000, subtype="FLOAT")
    monkeypatch.setattr(audio_module, "_BLOCK_SAMPLES", 100)
    assert np.array_equal(read_wave(path)[0], wave_NC.mean(axis=1, dtype=np.float64).astype(np.float32))
    assert np.array_equal(read_wave(path, channel=2)[0], wave_NC[:, 2])


@red_when("media/audio.py", "`MAX_FILTER` a quarter of it")
@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 22_255, 37_800, 44_056, 44_100, 47_952, 48_000, 96_000])
def test_t25_rates_that_are_met_are_brought_to_ours(rate_hz: int) -> None:
    assert resample(np.zeros(rate_hz // 10, np.float32), rate_hz, 16_000).size in (1_600, 1_601)


@red_when("corpora/tables.py", "the table is read through a shell")
def test_t27_a_tree_of_sounds_and_tables_under_an_odd_name_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def staged(home: Path, root: Path) -> dict[str, bytes]:
        classes = {name: [name] for name in ("neutral", "happy", "sad", "angry")}
        place = Place(home=home, root=root, reader="ravdess", classes=classes, shards=Shards(detector="none at all"))
        place.stage()
        return place.bytes()

    plain = staged(tmp_path / "plain", ravdess_tree(tmp_path / "tree", extension="wav"))
    odd = '-i it\'s "a" $(touch gone)\n;touch gone|pipe:1 %d \x1b[31m é'
    (tmp_path / "tree").rename(tmp_path / odd)
    monkeypatch.chdir(tmp_path)
    assert staged(tmp_path / "odd", Path(odd)) == plain
    assert not list(tmp_path.rglob("gone"))


@red_when("corpora/tables.py", "stray bytes of a table become question marks")
@red_when("corpora/tables.py", "a table's lines end at every mark that Unicode knows")
def test_t40_a_table_of_another_encoding_is_refused_by_name_and_stray_marks_cut_no_line(tmp_path: Path) -> None:
    tree = ravdess_tree(tmp_path / "tree")
    table = tree / "action_units.tsv"
    text = table.read_text()
    rows = read_table(table)
    for same in (f"\ufeff{text}", text.replace("\n", "\r\n"), text.replace("\n", "\r")):
        again = read_table(write(table, same.encode()))
        assert list(again) == list(rows) and all(np.array_equal(again[clip], rows[clip]) for clip in rows)
    strange = "a\x85b\u2028c\x0bd\x1ce"
    assert list(read_table(write(table, f"{text}{strange}\t1\t2\t3\n"))) == [*rows, strange]
    for encoding in ("utf-16", "utf-32", "latin-1", "cp037"):
        write(table, (text + "é\t1\t2\t3\n").encode(encoding))
        with pytest.raises(DataError, match=r"not UTF-8|has a first column") as caught:
            read_table(table)
        assert caught.value.exit_code == 3 and caught.value.file == str(table) and caught.value.action


@red_when("media/audio.py", "a pipe is a fault of the machine")
def test_t49_no_stage_waits_for_a_pipe_or_a_device_in_the_tree(tmp_path: Path) -> None:
    import os

    from tests.support.corpus.trees import FOUR, iemocap_tree

    tree = iemocap_tree(tmp_path / "tree", dialogues={DIALOGUE: FOUR})
    plain = stages(tree)
    os.mkfifo(tree / f"Session1/sentences/wav/{DIALOGUE}/{DIALOGUE}_M009.wav")
    os.mkfifo(tree / "Session1/dialog/EmoEvaluation/Ses01M_impro07.txt")
    assert stages(tree) == plain
    for read in (probe_wave, read_wave):
        with pytest.raises(AudioUnreadable, match="it is no plain file"):
            read(tree / f"Session1/sentences/wav/{DIALOGUE}/{DIALOGUE}_M009.wav")
