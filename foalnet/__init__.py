"""Raw corpora to a report that can be believed."""
