"""The words of the page of figures: what stands above each table, and the headers of columns whose names are terse."""

from __future__ import annotations

from typing import Final

HEADERS: Final = {
    "threshold_name": "threshold",
    "threshold": "cut-off",
    "n_amf": "AMF",
    "n_groups": "groups",
    "n_slides": "slides",
    "n_votes": "votes",
    "n_hard": "hard",
    "auc": "AUC",
    "f1": "F1",
    "ece": "ECE",
    "brier": "Brier",
    "mean_probability": "mean p",
    "amf_fraction": "observed",
    "probability_excess": "mean p - observed",
    "hardness_auc": "hardness AUC",
    "mean_p_hard": "mean p_hard",
    "auc_gain": "AUC gain",
    "cut_off": "cut-off",
    "min_figures": "n at least",
    "may_be_called_95": "may be called 95 %",
}
TEXT: Final = {
    "pooled": (
        "AMF is the positive class and the call decides, as in the MIDOG 2025 track 2 evaluation. ECE over ten bins of equal "
        "width. Intervals: 95 % bootstrap, drawing whole cases (slides where no case is known, crops where no slide is known, "
        "which makes them too narrow)."
    ),
    "votes": (
        "AUC of p_hard against the experts' disagreement (a split among two or more votes). The share of split figures grows "
        "with the number of raters, so sets are not to be compared with one another."
    ),
    "gain": (
        "What is left out goes to a person. Balanced accuracy of the rest, at the threshold 'balanced'; the table is for a "
        "fifth left out. 'p_hard' says where experts disagree, 'doubt' how near p_atypical is to the threshold (in logits), "
        "'review' is the order of wsiamf's own worklist, as far as single crops tell it."
    ),
    "raters": (
        "A head is held against its own expert, and against the majority of that expert's colleagues, on the figures where "
        "these do not split evenly; the expert against the same colleagues on the same figures is the human yardstick. "
        "Cut-offs call as many figures AMF as the expert did (the model's own, else fitted on other folds). Last: the mean of "
        "all heads against the majority, and without each head; AUC gain is what that head adds."
    ),
    "phases": (
        "Share of the figures of which the phase head and the raters say the same, on figures that both raters named. Its "
        "prediction is fit for use where it agrees with one rater as well as the other rater does."
    ),
    "slides": (
        "The share of AMF as a slide's summary would give it (threshold 'count' or 'balanced', or the mean probability) "
        "against the share by the experts' majority on the same figures. Bias and mean absolute error in shares of 1; "
        "concordance is Lin's. Intervals: bootstrap over cases."
    ),
    "coverage": (
        "Every interval is computed by the functions that print it, and held against three truths.\n"
        "'Majority, these figures': what the experts counted on the very same figures, which is what a reader takes an "
        "interval for.\n"
        "'Majority, whole slide': slides of 20 or more figures are taken for all there is, 3, 7, 15 or 30 of their figures are "
        "drawn with replacement, and the truth is the majority's share in the whole; the coverage is exact, a sum over the "
        "possible numbers of AMF calls.\n"
        "'Model, whole slide': the same with the model's own share for truth, which is all that an "
        "interval for the sampling of figures claims.\n"
        "Densities: the same with an area of 1 and a Poisson number of figures.\n"
        "Error rates, which the error range and the adjusted fraction need, are measured without each slide's fold; the error "
        "range of a model that is measured as a whole takes the model's own. The "
        "interval of amf_fraction_expected is that of n_amf_expected divided by n and covers alike; the unclipped adjusted "
        "interval covers like the clipped one."
    ),
    "verdicts": (
        "An interval whose coverage falls below 0.90, over all slides or in a class of n that has 20 slides or more, is not "
        "called a 95 % interval of that truth; what fewer slides say is in the table above, and is no verdict. "
        "An interval for sampling alone keeps its claim where the model's own share is covered, and must say that it does not "
        "cover the majority's where that is not."
    ),
}
