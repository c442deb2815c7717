"""The DICOMweb side: STOW-RS and QIDO-RS as user agent (PS3.18 10.5 and 10.6)."""
