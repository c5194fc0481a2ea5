"""``permix plan``: memory and time of a run, from its configuration and the model's ``config.json`` alone."""
