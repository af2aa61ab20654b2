"""The model that is deployed: trained on all sessions, sealed, with a card that says whose figures it quotes."""

from foalnet.final.card import card_md
from foalnet.final.run import final_run, prepare
from foalnet.final.seal import FILE, Sealed, read_model, seal

__all__ = ["FILE", "Sealed", "card_md", "final_run", "prepare", "read_model", "seal"]
