"""The ``latentprobe`` command: its verbs, and how every refusal is shown.

Verbs import the library when they run, so that ``--help`` is quick. Exit status: 0 done, 2 the input is wrong,
1 a bug or the machine failed.
"""

from __future__ import annotations

import sys

import typer

from latentprobe.cli import bench, demo, explain, extract, fit, predict, report, run, saes
from latentprobe.errors import LatentprobeError

app = typer.Typer(
    name="latentprobe",
    help="Text classifiers that people can read: sparse-autoencoder features, fair baselines, honest statistics.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (
    demo.demo,
    run.run,
    extract.extract,
    fit.fit,
    predict.predict,
    explain.explain,
    report.report,
    bench.bench,
):
    app.command()(verb)
app.add_typer(saes.app, name="saes")


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        app()
    except LatentprobeError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; what was finished is kept, and the same command goes on from there\n")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output left (`| head`). Nothing more can be said, and nothing is wrong.
        sys.stderr.close()
        sys.exit(0)
