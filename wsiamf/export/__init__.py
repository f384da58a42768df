"""Files that others read: QuPath's GeoJSON, the worklist of hard cases and the contact sheet."""
