"""Configuration keys that a run reads: noted in all its processes, compared by the launcher with those that are set."""
