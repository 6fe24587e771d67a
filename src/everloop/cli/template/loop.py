"""A model's whole life. `everloop run` runs one cycle, `everloop up` keeps it running."""

from sklearn.linear_model import LogisticRegression

from everloop import Feedback, Files, Loop, gates, triggers

loop = Loop(
    "$name",
    # Rows: all files that match, and captured predictions once they have labels. Put new files into data/ as they come.
    source=Files("data/*.csv") + Feedback(),
    target="diagnosis",
    # Any scikit-learn estimator, or a function (train, valid, params, run) that returns a fitted model.
    model=LogisticRegression(max_iter=1000),
    params={"C": 1.0},
    metrics=["roc_auc", "accuracy", "recall"],
    # A candidate becomes a version only when all of these hold.
    gates=[
        gates.at_least("roc_auc", 0.95),
        gates.better_than_baseline("accuracy", by=0.1),
        gates.no_worse_than_champion("roc_auc", by=0.01),
    ],
    # What starts the next cycle. None of them deploys: a gate and a rollout stand in between.
    triggers=[triggers.every("week"), triggers.new_rows(200), triggers.performance_drop("accuracy", by=0.05)],
)
