"""Personal data and secrets: found by rules, keys and a tagger of names; replaced by keyed stand-ins."""
