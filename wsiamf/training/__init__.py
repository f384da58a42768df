"""Training: labelled sets -> splits -> augmentation -> one loop -> calibration -> a model bundle with its card."""
