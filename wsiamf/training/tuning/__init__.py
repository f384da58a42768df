"""``wsiamf tune``: a search for better settings of a recipe."""
