"""Pairs of completions, compared by judges in both orders."""
