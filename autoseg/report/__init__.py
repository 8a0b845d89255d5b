"""The report: one HTML file of everything known of a data set and its runs. It only reads files and computes no score of its own."""

from autoseg.report.page import Written, write_report

__all__ = ["Written", "write_report"]
