"""Crops -> batches -> logits -> probabilities, on a backend."""

from wsiamf.inference.classifier import Classifier, Probabilities, load_model

__all__ = ["Classifier", "Probabilities", "load_model"]
