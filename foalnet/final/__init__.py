"""The model that is deployed: trained on all sessions, sealed, with a card that says whose figures it quotes."""

from foalnet.final.card import card_md
from foalnet.final.run import final_run
from foalnet.final.seal import FILE, Sealed, read_sealed, seal

__all__ = ["FILE", "Sealed", "card_md", "final_run", "read_sealed", "seal"]
