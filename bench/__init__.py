"""Scripts that measure the figures quoted in README and docs."""
