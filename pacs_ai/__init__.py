"""pacs-ai: a DICOM service that reads chest radiographs and answers with a Structured Report and a Grad-CAM image."""

__version__ = "0.1.0"
