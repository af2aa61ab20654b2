"""Audit sheets: what staging cut out of each dialogue, to be looked at by a person on this machine.

They show faces. They lie in the git-ignored work folder, no report links to them, and no stage reads or writes them.
"""

from foalnet.sheet.write import SheetSummary, write_sheets

__all__ = ["SheetSummary", "write_sheets"]
