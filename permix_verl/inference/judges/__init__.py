"""Judge models: settings, requests, replies."""
