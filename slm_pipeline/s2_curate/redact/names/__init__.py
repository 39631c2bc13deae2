"""A small tagger of names and addresses: our own, trained on sentences that the project generates, run by numpy alone."""
