"""The gateway: an agent's `base_url`. Every call is decided on, answered and logged."""
