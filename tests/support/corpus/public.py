"""Small trees in the layouts of CREMA-D and MELD as they are downloaded, with their tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.corpus.trees import write, write_wav
from tests.support.corpus.videos import ffmpeg, write_clip

LETTERS = {"ANG": "A", "DIS": "D", "FEA": "F", "HAP": "H", "NEU": "N", "SAD": "S"}
RESPONSES = (
    "", "localid", "pos", "ans", "ttr", "queryType", "numTries", "clipNum", "questNum", "subType", "clipName",
    "sessionNums", "respEmo", "respLevel", "dispEmo", "dispVal", "dispLevel",
)  # fmt: skip
COLUMNS = (
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode",
    "StartTime", "EndTime",
)  # fmt: skip
Turn = tuple[str, str, str]
"""Speaker, emotion, words."""
DIALOGUES: Mapping[str, Sequence[Sequence[Turn]]] = {
    "train": [
        [
            ("Monica", "joy", "Hi there everyone!"),
            ("Joey", "anger", "Hey, that’s mine!"),
            ("Ross", "sadness", "Oh no."),
        ],
        [("The Waiter", "neutral", "What can I get you?"), ("Phoebe Sr.", "joy", "Coffee, please.")],
    ],
    "dev": [[("Joey", "neutral", "So what?"), ("Ross", "anger", "I said no!"), ("Rachel", "sadness", "I miss him.")]],
    "test": [[("Rachel", "joy", "Yes!"), ("Monica", "neutral", "Fine."), ("Joey", "sadness", "It’s gone.")]],
}


def table(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> str:
    """Return CSV as the corpora write it; a column that a row lacks is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_mp3(path: Path, seconds: float) -> Path:
    """Write a tone as MP3."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ffmpeg("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=44100:duration={seconds}", str(path))
    return path


def cremad_names(actors: Sequence[int], emotions: Sequence[str] = ("ANG", "HAP", "NEU", "SAD")) -> list[str]:
    """Return the names of one clip for each actor and emotion."""
    return [f"{actor}_DFA_{emotion}_XX" for actor in actors for emotion in emotions]


def responses(*votes: tuple[str, str, int, str]) -> str:
    """Return finishedResponses.csv of votes (rater, clip, queryType, letter)."""
    rows = [
        {"": number, "localid": rater, "queryType": shown, "clipName": clip, "respEmo": letter}
        for number, (rater, clip, shown, letter) in enumerate(votes, 1)
    ]
    return table(RESPONSES, rows)


def cremad_tree(root: Path, *, actors: Sequence[int] = (1001, 1002), folders: Sequence[str] = ("VideoFlash",)) -> Path:
    """Write four clips an actor into some of VideoFlash, AudioWAV and AudioMP3, and three raters' votes on each.

    The raters of sound and of both perceive what was acted, those of the face what is neutral.
    """
    for seed, name in enumerate(cremad_names(actors)):
        if "VideoFlash" in folders:
            write_clip(root / f"VideoFlash/{name}.flv", seconds=1.2)
        if "AudioWAV" in folders:
            write_wav(root / f"AudioWAV/{name}.wav", 1.2, seed=seed)
        if "AudioMP3" in folders:
            write_mp3(root / f"AudioMP3/{name}.mp3", 1.2)
    votes = [
        (f"SSI_{rater}", name, shown, "N" if shown == 2 else LETTERS[name.split("_")[2]])
        for name in cremad_names(actors)
        for rater, shown in ((1, 1), (2, 2), (3, 3))
    ]
    write(root / "finishedResponses.csv", responses(*votes))
    write(root / "VideoDemographics.csv", "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n")
    return root


def clock(seconds: float) -> str:
    """Return a time as MELD's tables write it."""
    whole, thousandths = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d},{thousandths:03d}"


def meld_rows(dialogues: Sequence[Sequence[Turn]]) -> list[dict[str, object]]:
    """Return the rows of a part: utterance u of dialogue d lasts 1.2 s from 600 d + 2 u + 60 s."""
    return [
        {
            "Sr No.": 100 * dialogue + number,
            "Utterance": words,
            "Speaker": speaker,
            "Emotion": emotion,
            "Sentiment": "neutral",
            "Dialogue_ID": dialogue,
            "Utterance_ID": number,
            "Season": 1,
            "Episode": 2,
            "StartTime": clock(600 * dialogue + 2 * number + 60),
            "EndTime": clock(600 * dialogue + 2 * number + 61.2),
        }
        for dialogue, turns in enumerate(dialogues)
        for number, (speaker, emotion, words) in enumerate(turns)
    ]


MELD_FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}


def meld_tree(root: Path, *, clips: bool = True, seconds: float = 1.2) -> Path:
    """Write MELD's three tables, and with `clips` a clip for each row in the published folders."""
    for part, dialogues in DIALOGUES.items():
        rows = meld_rows(dialogues)
        write(root / f"{part}_sent_emo.csv", table(COLUMNS, rows))
        for row in rows if clips else ():
            name = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}.mp4"
            write_clip(root / MELD_FOLDERS[part] / name, seconds=seconds)
    return root
