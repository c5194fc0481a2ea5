"""verl without an accelerator."""
