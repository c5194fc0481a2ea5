"""``permix doctor --explain LOG``: the root cause out of a log of verl, vLLM or Ray.

A line is taken apart (:mod:`.lines`), lines of one process become raised exceptions and their chains
(:mod:`.chains`), the known ones are named (:mod:`.signatures`), and the first that nothing else explains is the
cause (:mod:`.choosing`).
"""
