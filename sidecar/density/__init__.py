"""How many streams a deployment carries at a promise, and what binds: `sidecar density`."""
