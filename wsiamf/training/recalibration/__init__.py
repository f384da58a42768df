"""``wsiamf calibrate``: a model's decision refitted on a lab's own labels."""
