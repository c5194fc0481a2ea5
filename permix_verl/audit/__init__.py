"""Audit of the answer checker: outputs on which the reward file, its strict mode and math-verify disagree."""
