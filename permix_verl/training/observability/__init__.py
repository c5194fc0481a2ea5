"""What a run shows: metrics per persona, curves, the smoke test's report."""
