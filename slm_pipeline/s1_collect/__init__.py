"""S1: the call log and what fills it."""
