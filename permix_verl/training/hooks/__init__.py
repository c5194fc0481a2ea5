"""What verl loads inside its own processes."""
