"""Reward functions for verl, loadable by path. ``math_reward.py`` stands alone and can be copied."""
