"""Lab: a miniature experiment for two CPU cores in which accuracy depends on the persona.

The base model (two million weights, shipped with the package) is trained on every persona of both
packaged pools. A persona's style has two parts: how often it blurts the answer without working it
out, which costs accuracy, and a voice, which does not. RL sees the training pool only.
docs/lab.md explains how to try an idea in it.
"""
