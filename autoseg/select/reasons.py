"""Why `select` leaves a run out, in the words of selection.json, by which others tell the reasons apart; torch is not needed for that."""

NOT_ASKED = "not among --members"
UNFINISHED = "folds not finished"
