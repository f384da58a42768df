"""The formats that results can be exported to: one small module each."""
