"""Metrics per persona, plots of a run, and the smoke-test report."""
