"""What is looked at before and after a run: the machine, the chain of results, the cache."""
