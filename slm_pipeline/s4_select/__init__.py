"""S4: candidate base models and the measured choice among them."""
