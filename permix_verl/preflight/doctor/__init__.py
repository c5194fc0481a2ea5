"""Preflight checks: errors that would end a run at minute 40, reported at second 2.

    permix doctor                                              # this machine
    permix doctor --model meta-llama/Llama-3.1-8B-Instruct     # and this model
    bash recipes/run_permix_grpo.sh                            # every recipe runs all checks on its settings first

Each check is a named function that examines one thing and reports the problem, its value and the remedy; ``checks.py``
lists them, docs/doctor.md with the reports of verl's users that led to them.
"""
