"""Persona pools, the sampling of a persona per row, and the prompts that carry it."""
