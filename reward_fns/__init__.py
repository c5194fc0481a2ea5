"""Reward functions for verl; each file stands alone and can be copied or loaded by path."""
