"""Traffic that is invented and pushed to a running service, and what came back of it."""
