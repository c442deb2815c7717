"""Audit messages of DICOM to an audit record repository (PS3.15 A.5 and A.6); pure but for the sending."""
