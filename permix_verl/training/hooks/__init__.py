"""Extensions that verl loads in its own processes."""
