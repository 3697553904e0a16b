"""A run directory as one page that people can read, and as text for other places.

Everything on the page was computed before and stands in the files of the run; this room formats and counts. Knows
nothing of models, features or fits.
"""

from latentprobe.report.page import render_report, render_transfer_report, write_report, write_transfer_report
from latentprobe.report.recommendation import recommendation
from latentprobe.report.run_files import read_run
from latentprobe.report.texts import FORMATS, text_of

__all__ = [
    "FORMATS",
    "read_run",
    "recommendation",
    "render_report",
    "render_transfer_report",
    "text_of",
    "write_report",
    "write_transfer_report",
]
