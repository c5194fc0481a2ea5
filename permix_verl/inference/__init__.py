"""Generation with vLLM or an endpoint: engines, request loop, judges and the row stores."""
