"""Training of one variant and seed over all folds."""
