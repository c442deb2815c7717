"""What goes back to the PACS: the Structured Report and the Grad-CAM capture. Pure; the only place for highdicom."""
