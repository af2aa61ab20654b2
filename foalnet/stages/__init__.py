"""The stages of dvc.yaml, a file or folder each: what a stage runs, forecasts, checks and needs of the work cache."""
