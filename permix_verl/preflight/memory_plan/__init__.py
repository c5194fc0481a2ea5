"""Memory and time estimate of a run (``permix plan``), from its configuration and the model's ``config.json``."""
