"""Prints a digest of each output of a corpus' stages: a change of code that alters no result keeps every line.

    python -m bench.outputs CORPUS [--home FOLDER] > before.txt

It reads the files below data/CORPUS, models/CORPUS and reports/CORPUS, and first removes every digest from JSON, page
and card: digests of code change whenever code moves, and seals and digests of files follow them.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

# A whole digest, or its first digits as the page prints them.
DIGEST = re.compile(rb"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{12,64}\b")
TEXTS = (".json", ".html", ".md", ".sha256")


def outputs(home: Path, corpus: str) -> Iterator[tuple[str, str]]:
    """Yield (SHA-256 of the content without digests, path below `home`) of every output of a corpus, by path."""
    for part in ("data", "models", "reports"):
        for path in sorted((home / part / corpus).rglob("*")):
            if path.is_file() and "raw" not in path.relative_to(home).parts:
                data = path.read_bytes()
                text = DIGEST.sub(b"", data) if path.suffix in TEXTS else data
                yield hashlib.sha256(text).hexdigest(), path.relative_to(home).as_posix()


def main(argv: Sequence[str] | None = None) -> None:
    """Print one line per file."""
    parser = argparse.ArgumentParser(prog="python -m bench.outputs", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("corpus")
    parser.add_argument("--home", type=Path, default=Path(), help="folder of the project")
    given = parser.parse_args(argv)
    for digest, path in outputs(given.home, given.corpus):
        print(digest, path)


if __name__ == "__main__":
    main()
