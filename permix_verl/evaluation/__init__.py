"""Measurement of persona robustness: tasks, sampling plan, sample store and analysis."""
