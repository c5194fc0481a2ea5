"""A world small enough for a laptop: generated problems and a chat model of about a million weights.

It stands in for GSM8K and an 8B model where there is no GPU and no hub, so that
the recipes run for real, end to end, in minutes.
"""
