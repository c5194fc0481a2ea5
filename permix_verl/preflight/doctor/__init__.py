"""What would end a run at minute 40, said at second 2.

    permix doctor                                              # this machine
    permix doctor --model meta-llama/Llama-3.1-8B-Instruct     # and this model
    bash recipes/run_permix_grpo.sh                            # the recipes ask it first, about all that they will do

A check is a function with a name: it looks at one thing and says what is wrong, with its value, and what to do.
docs/doctor.md lists them beside what verl's users ran into.
"""
