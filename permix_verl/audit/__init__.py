"""The answer checker, audited on a model's outputs: which answers it and its neighbours judge differently."""
