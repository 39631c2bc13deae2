"""Which model answers a call, how likely its answer is right, and how often a wrong one may slip through. Pure, fast, no torch."""
