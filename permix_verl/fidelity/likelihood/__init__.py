"""Persona fidelity without a judge: how likely an answer is under its own persona's prompt, by a frozen base model."""
