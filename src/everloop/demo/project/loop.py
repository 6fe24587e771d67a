"""Handwritten digits, read by a scanner that will one day be replaced: the project of `everloop demo`."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from everloop import Feedback, Files, Loop, Rollout, gates, triggers


def train(train, valid, params, run):
    """A plain training function. `shuffle_labels` is there for the demo to ask for a bad model on purpose."""
    target = np.asarray(train.target)
    if params["shuffle_labels"]:
        target = np.random.default_rng(run.seed).permutation(target)
    model = LogisticRegression(C=params["C"], max_iter=1000).fit(train.features, target)
    run.log_metric("valid_accuracy", model.score(valid.features, np.asarray(valid.target)))
    return model


loop = Loop(
    "digits",
    source=Files("stream/*.csv") + Feedback(),
    target="digit",
    model=train,
    params={"C": 0.02, "shuffle_labels": False},
    # All pixels share one scale already; standardising would blow up the ones that are nearly always paper.
    transform="unscaled",
    metrics=["accuracy", "log_loss"],
    gates=[
        gates.at_least("accuracy", 0.85),
        gates.better_than_baseline("accuracy", by=0.2),
        gates.no_worse_than_champion("accuracy", by=0.03),
    ],
    triggers=[triggers.performance_drop("accuracy", by=0.1), triggers.new_rows(200)],
    rollout=Rollout(shadow_rows=60, canary_rows=150, canary_share=0.4, min_labels=40),
    window_rows=150,
)
