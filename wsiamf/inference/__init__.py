"""Crops -> batches -> logits -> probabilities, on a backend."""

from wsiamf.inference.classifier import Classifier, PendingProbabilities, Probabilities, load_model

__all__ = ["Classifier", "PendingProbabilities", "Probabilities", "load_model"]
