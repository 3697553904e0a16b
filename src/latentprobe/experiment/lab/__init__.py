"""The laboratory: each claim put to the test on worlds whose truth is known, through the project's own code.

run_lab      some or all claims, each with a verdict and its figures
write_lab    that as a folder: lab.json and one page
CLAIMS       the claims by name

    world      planted dictionaries and the token states they give       oracle    SAEs that know the dictionary
    table      passes, pooling and evaluation as everywhere else          measures  what is read off them
    claims     what is said, and where it should hold and fail            verdicts  what the figures say of it
    run        all of it                                                  page      how it is shown
"""

from latentprobe.experiment.lab.claims import CLAIMS
from latentprobe.experiment.lab.page import write_lab
from latentprobe.experiment.lab.run import run_lab

__all__ = ["CLAIMS", "run_lab", "write_lab"]
