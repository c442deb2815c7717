"""The network at work. TensorFlow is imported by `classifier` and `gradcam` only, so that other commands start fast."""
