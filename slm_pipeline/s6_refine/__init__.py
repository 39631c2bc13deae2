"""S6: evaluation, gate, promotion, failures, scoreboard."""
