"""Turns predictions into evidence: scores, confidence intervals, the report page, the promotion gate."""
