"""What a corpus' stages made, as a digest a file: a change that moves code and alters no result keeps every line.

    python -m bench.outputs CORPUS [--home FOLDER] > before.txt

Files below data/CORPUS, models/CORPUS and reports/CORPUS. In JSON, on the page and on the card every digest is left out
first: those of code change with each move, and seals and digests of files follow them.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

# A digest whole, or the first digits of one as the page prints them.
DIGEST = re.compile(rb"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{12,64}\b")
TEXTS = (".json", ".html", ".md", ".sha256")


def outputs(home: Path, corpus: str) -> Iterator[tuple[str, str]]:
    """Yield (SHA-256 without digests, path below `home`) of every file that the corpus' stages made, by path."""
    for part in ("data", "models", "reports"):
        for path in sorted((home / part / corpus).rglob("*")):
            if path.is_file() and "raw" not in path.relative_to(home).parts:
                data = path.read_bytes()
                text = DIGEST.sub(b"", data) if path.suffix in TEXTS else data
                yield hashlib.sha256(text).hexdigest(), path.relative_to(home).as_posix()


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line a file."""
    parser = argparse.ArgumentParser(prog="python -m bench.outputs", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("corpus")
    parser.add_argument("--home", type=Path, default=Path(), help="folder of the project")
    given = parser.parse_args(argv)
    for digest, path in outputs(given.home, given.corpus):
        print(digest, path)


if __name__ == "__main__":
    main()
