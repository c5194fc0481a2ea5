"""Does the model still play its part: PersonaGym's five tasks with error bars, and a pairwise judge.

The paper's sections 4.2 and C.2, Tables 1 and 10; PersonaGym is Samuel et al., 2025 (arXiv 2407.18416).
"""
