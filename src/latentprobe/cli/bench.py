"""``latentprobe bench``: speed and memory beside the obvious alternative."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from latentprobe.cli.run import Json


def bench(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="encode, store or load. Default: all.")] = None,
    width: Annotated[
        int, typer.Option(min=1, help="Features of the file that load writes and reads: 2304 x width in bfloat16.")
    ] = 16_384,
    as_json: Json = False,
) -> None:
    """Measure speed and memory side by side, each contender in a process of its own.

    load has no contender: it writes a wide SAE to the temporary folder, loads it, and prints the peak of the process's
    own memory beside what the encoder needs.

    --json prints {"name", "ours", "peers", "ratios", "equal", "machine"} for each; "ours" of load has "needed_mib" too.
    """
    import json

    from latentprobe.errors import SpecError, nearest
    from latentprobe.experiment.bench import BENCHMARKS
    from latentprobe.experiment.bench import bench as measure

    if name is not None and name not in BENCHMARKS:
        raise SpecError(
            "the name of a benchmark was expected",
            got=name,
            fix=f"use one of {', '.join(BENCHMARKS)}{nearest(name, BENCHMARKS)}",
        )
    for each in [name] if name else list(BENCHMARKS):
        measured = measure(each, width=width)
        if as_json:
            sys.stdout.write(json.dumps(measured) + "\n")
            continue
        sys.stdout.write(f"{each} ({measured['machine']}, results {'equal' if measured['equal'] else 'DIFFER'})\n")
        for who, figures in {"latentprobe": measured["ours"], **measured["peers"]}.items():
            ratio = measured["ratios"].get(who)
            beside = f"   {ratio:.2f} x ours" if ratio else ""
            if "needed_mib" in figures:
                beside = f"   of {figures['needed_mib']:.1f} MiB needed, width {figures['width']:,}"
            sys.stdout.write(f"  {who:<14}{figures['seconds']:>9.3f} s {figures['peak_mib']:>9.1f} MiB{beside}\n")
