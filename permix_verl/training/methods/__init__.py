"""Extensions of PerMix-RLVR: which personas, which groups, which rollouts, which advantage (docs/methods.md).

A recipe trains a method (RLVR, PerMix-RLVR); an extension changes how. Each is one file here, with formula and source,
and is switched on by one key of the configuration.
"""
