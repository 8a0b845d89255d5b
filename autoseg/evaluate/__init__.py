"""How good predictions are: scores per case and class, their summary, and the files of both."""

from autoseg.evaluate.rows import TABLE, write_rows
from autoseg.evaluate.scores import CaseScores, evaluate_case, measure_case
from autoseg.evaluate.summary import Part, Scores, Summary, Worst, load_summary, save_summary, summarise, summarise_fully

__all__ = [
    "TABLE",
    "CaseScores",
    "Part",
    "Scores",
    "Summary",
    "Worst",
    "evaluate_case",
    "load_summary",
    "measure_case",
    "save_summary",
    "summarise",
    "summarise_fully",
    "write_rows",
]
