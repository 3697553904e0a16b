"""Run the specs whose figures the documents show, twice each, and keep what they gave under results/.

    python scripts/run_results.py [NAME ...]      NAME: demo, lab, surge_toxicity, xstest, ... (see RUNS, TRANSFERS,
                                                  and BEHAVIOURS in run_behaviour.py)

Each runs in a process of its own with an empty store, so that its seconds and its peak memory are its own; the second
run shows what the store saves. Of the demo, what it prints is kept, and of the laboratory its figures. All others
need the folder `shared` beside the checkout. Texts of the data are never kept. Afterwards `make docs` brings the
figures into the documents.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from run_behaviour import BEHAVIOURS, behaviour_results

ROOT = Path(__file__).resolve().parents[1]
#: Specs of `latentprobe run`, by the name of their file under specs/.
RUNS = (
    "surge_toxicity",
    "xstest",
    "davidson",
    "banking77",
    "germeval2018",
    "pubmedqa",
    "hatecheck_german",
    "surge_full",
)
#: Specs of `latentprobe transfer`, and the file each leaves.
TRANSFERS = {
    "transfer/demo": "transfer.json",
    "transfer/textdetox": "transfer.json",
    "transfer/xlmt": "transfer.json",
    "transfer/hatecheck": "transfer.json",
    "transfer/toxicity_sources": "transfer.json",
    "behaviour/matching": "matching.json",
}
NAMES = ("demo", "lab", *RUNS, *TRANSFERS, *BEHAVIOURS)


def timed(command: list[str], log: Path) -> tuple[float, float]:
    """Seconds and peak GiB (the process and its children at their largest) of a command that must succeed."""
    start = time.perf_counter()
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, resident_gib(process.pid))
            time.sleep(0.2)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{log.read_text()}")
    return time.perf_counter() - start, peak


def resident_gib(pid: int) -> float:
    """Proportional resident memory of a process and all its descendants (Linux; 0 elsewhere)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
        except OSError:  # it ended while we looked
            continue
    family, total = [pid], 0
    for member in family:
        family += children.get(member, [])
        try:
            rollup = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        except OSError:
            continue
    return total / 2**20


def measure(name: str) -> dict[str, Any]:
    """Both runs of one spec: what it left, without texts, with seconds and memory."""
    verb, left = ("transfer", TRANSFERS[name]) if name in TRANSFERS else ("run", "results.json")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [sys.executable, "-m", "latentprobe", verb, str(ROOT / "specs" / f"{name}.yaml"), "--out", str(out)]
        command += ["--store", str(Path(folder) / "store")]
        first, peak = timed(command, Path(folder) / "log")
        again, _ = timed(command, Path(folder) / "log")
        results: dict[str, Any] = json.loads((out / left).read_text())
        report = out / "report.html"
        size = report.stat().st_size / 2**20 if report.is_file() else None
    if "overlap" in results:
        results["overlap"].pop("features", None)  # their evidence quotes texts
    results["measured"] = {
        "seconds": round(first, 1),
        "seconds_again": round(again, 1),
        "peak_gib": round(peak, 2),
        "report_mib": None if size is None else round(size, 2),
        "cores": os.cpu_count(),
    }
    return results


def keep_demo() -> None:
    """What `latentprobe demo` prints on stdout, as results/demo.txt."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "latentprobe", "demo", "--out", "demo", "--store", "store"]
        start = time.perf_counter()
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    (ROOT / "results" / "demo.txt").write_text(done.stdout, encoding="utf-8")
    print(f"demo {time.perf_counter() - start:.1f} s")


def keep_lab() -> None:
    """What `latentprobe lab --json` prints, as results/lab.json."""
    command = [sys.executable, "-m", "latentprobe", "lab", "--json"]
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    (ROOT / "results" / "lab.json").write_text(done.stdout, encoding="utf-8")
    print(f"lab {time.perf_counter() - start:.1f} s")


def main() -> None:
    """Measure the named specs, or all."""
    for name in sys.argv[1:] or NAMES:
        if name == "demo":
            keep_demo()
            continue
        if name == "lab":
            keep_lab()
            continue
        results = behaviour_results(name, timed) if name in BEHAVIOURS else measure(name)
        path = ROOT / "results" / f"{name.replace('/', '_')}.json"
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(name, results["measured"], flush=True)


if __name__ == "__main__":
    main()
