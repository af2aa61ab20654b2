"""Checkpoints of the authors' own code: their network, their arithmetic, and a sealed model made from them."""
