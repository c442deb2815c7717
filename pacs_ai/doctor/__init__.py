"""Whether this machine and its peers are fit for the service: one question to a module, nothing is changed."""
