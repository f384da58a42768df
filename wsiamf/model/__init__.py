"""The network, how a crop becomes its input, and what both cost."""

from wsiamf.model.building import build_network, build_preprocess
from wsiamf.model.cost import count_macs
from wsiamf.model.network import MitosisClassifier
from wsiamf.model.preprocess import Preprocess

__all__ = [
    "MitosisClassifier",
    "Preprocess",
    "build_network",
    "build_preprocess",
    "count_macs",
]
