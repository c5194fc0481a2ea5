"""``permix doctor --explain LOG``: find the root cause in a log of verl, vLLM or Ray.

Lines are parsed (:mod:`.lines`), the lines of one process become exceptions and chains of them (:mod:`.chains`), known
failures are identified (:mod:`.signatures`), and the first failure that no other explains is the cause
(:mod:`.choosing`).
"""
