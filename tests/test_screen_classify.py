"""Classifying batches as they are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from wsiamf.crops import CropBatch
from wsiamf.screen.classify import _classified


class Model:
    """Has use for three batches at once."""

    capacity = 3

    def __init__(self) -> None:
        self.under_way = self.most = 0

    def submit(self, _: Any) -> Model:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        return self

    def result(self) -> int:
        self.under_way -= 1
        return self.under_way


def test_no_more_batches_are_taken_than_the_model_has_use_for() -> None:
    taken = 0

    def batches() -> Iterator[CropBatch]:
        nonlocal taken
        for number in range(20):
            taken += 1
            crops = np.zeros((1, 128, 128, 3), dtype=np.uint8)
            yield CropBatch(np.array([number]), crops, np.ones(1), (None,))

    model: Any = Model()
    order = []
    for done, (batch, _) in enumerate(_classified(batches(), model)):
        assert taken <= done + 1 + model.capacity
        order += batch.rows.tolist()
    assert order == list(range(20))
    assert model.most == model.capacity
