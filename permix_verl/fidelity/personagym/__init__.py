"""PersonaGym's five tasks (Samuel et al., arXiv 2407.18416), scored by judges, with error bars."""
