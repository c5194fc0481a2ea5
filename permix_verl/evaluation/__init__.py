"""Persona robustness, measured: tasks, engines, a store of every sample, and the report."""
