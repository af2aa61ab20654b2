"""Scripts behind the figures that README and docs quote."""
