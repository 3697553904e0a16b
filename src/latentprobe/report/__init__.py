"""A run directory as one page that people can read.

Everything on the page was computed before and stands in the files of the run; this room formats and counts. Knows
nothing of models, features or fits.
"""

from latentprobe.report.page import render_report, render_transfer_report, write_report, write_transfer_report

__all__ = ["render_report", "render_transfer_report", "write_report", "write_transfer_report"]
