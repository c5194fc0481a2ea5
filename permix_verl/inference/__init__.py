"""Completions from vLLM or an endpoint, and the store that keeps every one."""
