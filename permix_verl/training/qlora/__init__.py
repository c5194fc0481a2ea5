"""A base in 4 bits (NF4) under verl's FSDP engine."""
