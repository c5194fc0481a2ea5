"""A method from its configuration to a trained adapter: choose, check, prepare rows, train."""
