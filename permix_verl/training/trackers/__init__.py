"""Experiment trackers: where each one writes, how a resumed run continues in it, and the results it gets at the end."""
