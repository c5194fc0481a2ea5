"""Checks that refuse or end a run: dead config keys, rollout mismatch, stalled or dead workers."""
