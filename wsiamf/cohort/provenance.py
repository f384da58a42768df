"""What the results of a cohort were made with, gathered slide by slide; no path, host or time."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, Final

from wsiamf.cohort.results import Result
from wsiamf.summary.json_fields import Fields

_COMPUTED_WITH: Final = ("backend", "precision", "device_class")
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]?\d+)?")
_Words = tuple[str, ...]  # of a warning, parted at its numbers
_SUMMARY_FACTS: Final = ("definition", "thresholds", "area_kind")


class Provenance:
    """Counts how many slides share each fact."""

    def __init__(self) -> None:
        self._facts: dict[str, Counter[str]] = {}
        self._warnings: Counter[_Words] = Counter()
        self._numbers: dict[_Words, list[str]] = {}

    def add(self, result: Result) -> None:
        """Take in one slide's result."""
        record, summary = result.record, result.summary
        self._count("wsiamf", record["wsiamf"])
        self._count("algorithm_version", record["algorithm_version"])
        self._count("model", record["model"])
        self._count("computed_with", {name: record[name] for name in _COMPUTED_WITH})
        self._count("reading", {name: record["reading"][name] for name in ("resampled", "upsampled")})
        self._count("error_rates", record["key"]["error_rates"])
        self._count("versions", record["versions"])
        for name in _SUMMARY_FACTS:
            self._count(name, summary[name])
        self._warn({_said(text, record["slide"]["name"]) for text in record["warnings"]})

    def fields(self) -> dict[str, list[Fields]]:
        """Of each fact its values, each with its number of slides, the commonest first."""
        return {
            name: [{"value": json.loads(text), "n_slides": n} for text, n in _sorted(counts)]
            for name, counts in self._facts.items()
        }

    def warnings(self) -> list[Fields]:
        """What slides were warned of, without their names and the numbers in which they differ, the commonest first."""
        texts = Counter({_with_numbers(words, self._numbers[words]): n for words, n in self._warnings.items()})
        return [{"text": text, "n_slides": n} for text, n in _sorted(texts)]

    def disagreements(self) -> list[str]:
        """Facts that should be the same on all slides and are not, one line each."""
        named = {"model": "models", "computed_with": "backends, precisions or device classes"}
        named |= {"algorithm_version": "versions of the algorithm"}
        return [
            f"the results were made with {len(self._facts[name])} {word}; figures of different slides may not compare."
            for name, word in named.items()
            if len(self._facts.get(name, ())) > 1
        ]

    def _count(self, name: str, value: Any) -> None:
        self._facts.setdefault(name, Counter())[json.dumps(value, sort_keys=False)] += 1

    def _warn(self, texts: set[str]) -> None:
        """Count one slide's warnings; those that differ in their numbers alone are one."""
        kinds = set()
        for text in texts:
            words, numbers = tuple(_NUMBER.split(text)), _NUMBER.findall(text)
            known = self._numbers.setdefault(words, numbers)
            self._numbers[words] = [old if old == new else "…" for old, new in zip(known, numbers, strict=True)]
            kinds.add(words)
        self._warnings.update(kinds)


def _sorted(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _said(text: str, slide_name: str) -> str:
    """A warning without the file that it begins with."""
    said = text.replace(slide_name, "the slide").partition(": ")
    return said[2] or said[0]


def _with_numbers(words: _Words, numbers: list[str]) -> str:
    return words[0] + "".join(number + after for number, after in zip(numbers, words[1:], strict=True))
