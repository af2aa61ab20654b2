"""Files that stages hand on: sealed, digested, versioned by git and DVC."""
