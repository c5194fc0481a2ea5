"""Which configuration keys a run reads: noted in all its processes, compared by the launcher with those that are set."""
