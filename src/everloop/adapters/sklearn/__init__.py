"""scikit-learn: transforms, estimators, baselines, and their stored form."""
