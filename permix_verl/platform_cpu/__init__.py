"""verl on a machine without an accelerator: a verl platform and the few patches it needs."""
