"""Path, bytes, array, DICOM or ZIP → Radiograph."""
