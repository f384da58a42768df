"""Made tables of labelled predictions, as a cross-validation writes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit

RATERS = ("ami-br/1", "ami-br/2", "ami-br/3")


def labelled_predictions(n_slides: int = 60, seed: int = 0, signal: float = 2.0) -> pd.DataFrame:
    """Three raters, two domains, five folds by slide, 1 to 60 figures a slide; p_atypical is calibrated by construction.

    Args:
        n_slides: Number of slides.
        seed: Of all draws.
        signal: Spread of the logits, in which raters and heads agree but for their own noise.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 61, n_slides)
    slide_N = np.repeat(np.arange(n_slides), sizes)
    n = len(slide_N)
    z = rng.normal(-1.5, signal, n) + rng.normal(0, 0.5, n_slides)[slide_N]
    votes = {rater: (rng.random(n) < expit(z)).astype(float) for rater in RATERS}
    amf = (sum(votes.values(), start=np.zeros(n)) >= 2).astype(float)
    p_majority = expit(z) ** 2 * (3 - 2 * expit(z))  # two or three of three
    p_split = 3 * expit(z) * (1 - expit(z))
    split = np.ptp(np.stack(list(votes.values())), axis=0)
    return pd.DataFrame(
        {
            "set": "made",
            "file": [f"{row}.png" for row in range(n)],
            "slide": [f"{slide}.tiff" for slide in slide_N],
            "case": None,
            "group": [f"made/{slide}.tiff" for slide in slide_N],
            "domain": np.where(slide_N % 2, "lung", "breast"),
            "fold": slide_N % 5 + 1,
            "amf": amf,
            "hard": split,
            "n_votes": 3,
            **{f"vote_{rater}": vote for rater, vote in votes.items()},
            **{f"p_{rater}": expit(z + rng.normal(0, 0.3, n)) for rater in RATERS},
            "z": z,
            "z_hard": np.log(p_split / (1 - p_split)),
            "p_atypical": p_majority,
            "p_hard": p_split,
            "threshold_balanced": amf.mean(),
            "threshold_count": 0.5,
            "threshold_hard": 0.5,
        }
    )
