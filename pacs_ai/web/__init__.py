"""What the service says of itself over HTTP."""
