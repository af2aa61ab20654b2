"""Writes audit sheets: pages that show a person what staging cut out of each dialogue.

The sheets show faces. They are in the git-ignored work folder; no report links to them, and no stage uses them.
"""

from foalnet.sheet.write import SheetSummary, write_sheets

__all__ = ["SheetSummary", "write_sheets"]
