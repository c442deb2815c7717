"""How a network comes to be: films, split, fit, calibration, model card, export. Not needed to serve."""
