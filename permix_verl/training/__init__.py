"""Launch, watch, resume and conclude verl's GRPO and SFT trainers."""
