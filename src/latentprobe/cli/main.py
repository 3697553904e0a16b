"""The ``latentprobe`` command: its verbs, and how every refusal is shown.

Verbs import the library when they run, so that ``--help`` is quick. Exit status: 0 done, 2 the input is wrong,
1 a bug or the machine failed.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from latentprobe.cli import (
    behaviour,
    bench,
    compare,
    demo,
    edit,
    explain,
    extract,
    fit,
    lab,
    labels,
    predict,
    recommend,
    report,
    run,
    saes,
    transfer,
)
from latentprobe.errors import LatentprobeError

app = typer.Typer(
    name="latentprobe",
    help="Text classifiers that people can read: sparse-autoencoder features, fair baselines, honest statistics.",
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
    edit.edit,
    compare.compare,
    behaviour.behaviour,
    transfer.transfer,
    report.report,
    recommend.recommend,
    bench.bench,
    lab.lab,
):
    app.command()(verb)
app.add_typer(saes.app, name="saes")
app.add_typer(labels.app, name="labels")

#: Whatever is wrong with the arguments themselves: no such option, no such command, a word where a number is due.
USAGE_ERROR: type[Exception] = typer.BadParameter.mro()[1]


def _print_version(asked: bool) -> None:
    from importlib.metadata import version

    if asked:
        sys.stdout.write(f"latentprobe {version('latentprobe')}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options that go before a verb."""


def main() -> None:
    """Run the command line and exit with its status."""
    sys.exit(_run(sys.argv[1:] or ["--help"]))


def _run(arguments: list[str]) -> int:
    """The exit status of a command line.

    The verb is invoked without Typer's own ``main``, which would answer wrong arguments, an interruption and a closed
    pipe in its own words and with other statuses.
    """
    try:
        with typer.main.get_command(app).make_context("latentprobe", arguments) as context:
            context.command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except LatentprobeError as error:
        return _refuse(error)
    except USAGE_ERROR as error:
        return _refuse(_wrong_arguments(error))
    except KeyboardInterrupt:
        sys.stderr.write(
            "interrupted; nothing half-written is left; `run`, `transfer` and `extract` go on from what is finished\n"
        )
        return 130
    except BrokenPipeError:
        # The reader of our output left (`| head`). Nothing more can be said, and nothing is wrong. What Python still
        # holds for it goes nowhere, or it would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _refuse(error: LatentprobeError) -> int:
    from latentprobe.cli.tables import visible

    sys.stderr.write(f"error: {visible(str(error))}\n")
    return 2


def _wrong_arguments(error: Any) -> LatentprobeError:
    """Typer's complaint in our form; it suggests the nearest verb or option itself."""
    usage = " ".join(error.ctx.get_usage().removeprefix("Usage: ").split())
    return LatentprobeError(
        f"`{usage.translate({ord('{'): None, ord('}'): None})}` was expected",
        got=error.format_message().removesuffix("."),
        fix=f"see `{error.ctx.command_path} --help`",
    )
