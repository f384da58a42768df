"""Crops -> batches -> logits -> probabilities, on a backend."""

from wsiamf.inference.classifier import PROVISIONAL, Classifier, PendingProbabilities, Probabilities, load_model

__all__ = ["PROVISIONAL", "Classifier", "PendingProbabilities", "Probabilities", "load_model"]
