"""S2: redaction, quality funnel, exact repeats, splits."""
