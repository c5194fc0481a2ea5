"""The lab: a world small enough for two cores in which the persona lottery is real.

A base model of two million weights, shipped with the package, has met every persona of both
packaged pools. In this world a persona has a style of two parts: how often it blurts the answer
out instead of working it out, which costs accuracy, and a voice, which does not. RL meets the
training pool only. docs/lab.md tells how to try an idea of yours in it.
"""
