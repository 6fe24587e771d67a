"""A recipe and the training part -> a fitted transformer: raw columns in, features out."""
