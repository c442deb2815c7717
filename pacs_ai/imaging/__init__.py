"""From a header to a decision to read, and from stored values to what a network reads. Pure."""
