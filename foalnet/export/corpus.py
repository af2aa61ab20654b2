"""Writes the staged utterances of a corpus as loose files, or as parquet files that Hugging Face `datasets` opens.

The bytes of sound and pictures are those of the shards. Metadata and card are written last: a folder without them is
not complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from foalnet.core.files import jsonl_bytes, need_free, not_written, publish_bytes
from foalnet.core.progress import counted
from foalnet.export.rows import pictures_of, row_of, sound_of
from foalnet.export.tables import schema_of, write_parquet
from foalnet.shards import Sample, SampleMeta, ShardSet
from foalnet.shards.format import STREAMS, TABLE

METADATA, CARD, LICENCE = "metadata.jsonl", "README.md", "LICENCE.txt"
FRAME = "{:06d}.jpg"
# A row has sound and pictures of seconds: few of them fill a row group.
ROWS = 32

DRAWN = "A program drew it: no person is seen, heard or quoted in it."
PERSONAL = "Faces, voices and words in these files are personal data of the people who were recorded."
# What the card says of each layout.
KEYS = "The other keys are those of a sample's `json` in foalnet's shards (docs/staging.md), without the offsets."
FOLDER = f"""`{METADATA}` has one line of JSON for each utterance. Its `files` are the paths of `sound` (FLAC), of the
pictures of each frame (null where a frame has none), and of `table` (npy), as far as the corpus has them."""
HUB = """A row is an utterance: `sound` is a FLAC file as bytes, `face` and `half` are the pictures of each frame (null
where a frame has none), `table` the rows of the corpus' own table of features. What the corpus does not have is null.

```python
import datasets

rows = datasets.load_dataset("PATH OF THIS FOLDER", split="train")
```

All rows are in one split: choose who trains and who is tested by `session` or `speaker`. With `torchcodec`,
`rows.cast_column("sound", datasets.Audio())` decodes the sound."""

Export = Callable[[ShardSet, Path, Callable[[], None]], str]


def export_corpus(shards: ShardSet, out: Path, form: str, *, licence: str, drawn: bool) -> int:
    """Write all utterances into the empty folder `out` in a format of FORMATS; return their number.

    `licence`: what the corpus may be used for; `drawn`: a program drew it. MachineError (exit 4) if the disk is full or
    refuses a file.
    """
    need_free(out, sum(entry.size for entry in shards.entries))
    note = licence_note(shards.corpus, licence, drawn=drawn)
    # First of all: no moment has the files without it.
    publish_bytes(out / LICENCE, note.encode())
    count = len(shards.keys)
    with counted("writing the utterances", count, "utterances") as one_more:
        layout = FORMATS[form](shards, out, one_more)
    publish_bytes(out / CARD, _card(shards.corpus, count, layout, note, hub=form == "hf").encode())
    return count


def licence_note(corpus: str, licence: str, *, drawn: bool) -> str:
    """Return the text of LICENCE.txt."""
    people = DRAWN if drawn else PERSONAL
    return (
        f"These files were made from the corpus '{corpus}'. Its licence binds whoever has them, and everyone they are "
        f"passed on to:\n\n{licence}\n\n{people}\n"
    )


def _folder(shards: ShardSet, out: Path, one_more: Callable[[], None]) -> str:
    """Write files of sound and pictures, and a line of metadata for each utterance."""

    def rows() -> Iterator[dict[str, Any]]:
        for sample in shards.samples():
            place = Path(sample.meta.session) / sample.key
            files = _loose(sample, out, place)
            yield row_of(sample) | {"files": files}
            one_more()

    publish_bytes(out / METADATA, jsonl_bytes(rows()))
    return FOLDER


def _loose(sample: Sample, out: Path, place: Path) -> dict[str, Any]:
    """Write the parts of a sample below `out`/`place`; return part -> path or list of paths."""
    files: dict[str, Any] = {}
    contents: dict[Path, bytes] = {}
    sound = sound_of(sample)
    for part, name, data in (("sound", "sound.flac", sound), ("table", "table.npy", sample.members.get(TABLE))):
        if data is not None:
            contents[place / name] = data
            files[part] = (place / name).as_posix()
    for stream, pictures in pictures_of(sample).items():
        paths = [place / stream / FRAME.format(number) for number in range(len(pictures))]
        contents |= {path: jpeg for path, jpeg in zip(paths, pictures, strict=True) if jpeg is not None}
        files[stream] = [path.as_posix() if jpeg else None for path, jpeg in zip(paths, pictures, strict=True)]
    path = out
    try:
        for folder in sorted({path.parent for path in contents}):
            (out / folder).mkdir(parents=True, exist_ok=True)
        for path, data in contents.items():
            (out / path).write_bytes(data)
    except OSError as error:
        raise not_written(error, out / path) from error
    return files


def _hub(shards: ShardSet, out: Path, one_more: Callable[[], None]) -> str:
    """Write one parquet file for each shard."""
    import pyarrow as pa

    pictures = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    columns = schema_of(SampleMeta, without="_offsets") | {"sound": pa.binary()}
    columns |= dict.fromkeys(STREAMS, pictures) | {"table": pa.list_(pa.list_(pa.float32()))}
    # `datasets` then decodes the pictures. Sound stays bytes: it decodes sound by a package that needs a system ffmpeg.
    features = {stream: {"_type": "List", "feature": {"_type": "Image"}} for stream in STREAMS}
    for entry in shards.entries:
        rows = []
        for sample in replace(shards, entries=(entry,)).samples():
            rows.append(_hub_row(sample))
            one_more()
        path = out / "data" / Path(entry.path).with_suffix(".parquet")
        write_parquet(path, rows, columns, features=features, group=ROWS)
    return HUB


def _hub_row(sample: Sample) -> dict[str, Any]:
    row = row_of(sample) | {"sound": sound_of(sample)}
    for stream, pictures in pictures_of(sample).items():
        row[stream] = [None if jpeg is None else {"bytes": jpeg, "path": None} for jpeg in pictures]
    if TABLE in sample.members:
        row["table"] = list(sample.table())
    return row


FORMATS: dict[str, Export] = {"hf": _hub, "folder": _folder}


def _card(corpus: str, count: int, layout: str, note: str, *, hub: bool) -> str:
    """Return README.md; for the hub with the block of YAML that names licence and files."""
    head = (
        f"---\nlicense: other\nlicense_name: {corpus}\nlicense_link: {LICENCE}\nconfigs:\n- config_name: default\n"
        "  data_files:\n  - split: train\n    path: data/*/*.parquet\n---\n\n"
        if hub
        else ""
    )
    return f"{head}# {corpus}: {count} staged utterances\n\n{note}\n{layout}\n\n{KEYS}\n"
