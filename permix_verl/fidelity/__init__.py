"""Persona fidelity: PersonaGym's five tasks with confidence intervals, and a pairwise judge.

Source: sections 4.2 and C.2, Tables 1 and 10 of the PerMix-RLVR paper (arXiv 2604.08986); PersonaGym is Samuel et al.,
2025 (arXiv 2407.18416).
"""
