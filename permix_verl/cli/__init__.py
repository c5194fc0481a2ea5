"""Command line: one thin module per verb. ``main.py`` lists the verbs."""
