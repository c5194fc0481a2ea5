"""Running verl's GRPO trainer on persona-mixed data, watching it, and what remains of a run."""
