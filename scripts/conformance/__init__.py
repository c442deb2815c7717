"""What the conformance statement says of the code, taken from the code."""
