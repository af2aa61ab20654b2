"""The embedded corpus, drawn by code in IEMOCAP's layout (docs/drawn.md)."""
