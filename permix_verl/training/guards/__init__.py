"""What refuses a run or ends it: dead config keys, rollout mismatch, stalled or dead workers."""
