"""Generates the drawn corpus: a synthetic corpus in IEMOCAP's layout (docs/drawn.md)."""
