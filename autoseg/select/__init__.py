"""What the ensemble should be, judged on pooled out-of-fold probabilities: members, weights, thresholds, post-processing.

A choice is made on all folds but one and scored on that one, for each fold in turn (nested folds), and is switched on only where these
scores show a gain (`nested.judge`); what is on is then chosen once more on all cases. `search.select` does it, `selection` is its file,
`apply.decide` uses it on a new case.
"""
