"""Chat templates: what a template does with a persona, the day and thoughts, and how it is adapted where it must be."""
