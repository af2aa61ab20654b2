"""The files that stages exchange: sealed, with digests, versioned by git and DVC."""
