"""Tools that an SLM is granted while it writes: it writes the expression, the tool writes the result."""
