"""Run folders: paths, settings, data files, metrics and validations, without torch."""
