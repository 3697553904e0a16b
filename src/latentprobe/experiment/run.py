"""One experiment, whole: read, extract, compare, keep the best as a classifier, write the run directory.

The directory appears at once, when everything in it is done; features and fits that were finished before an
interruption are in the store, and the same command goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
import yaml

from latentprobe.config import ExperimentSpec
from latentprobe.deploy import Bundle, build_bundle, card_for
from latentprobe.deploy.bundle_files import BUNDLE_FILES
from latentprobe.encode.formats import label_table
from latentprobe.encode.sae import SAE
from latentprobe.encode.sources import PlannedSource
from latentprobe.experiment.environment import Reporter, Silent, Stopwatch, environment
from latentprobe.experiment.explained import decisions_table, neuronpedia, profiles_of
from latentprobe.experiment.explanations import evidence_of, summary_of, tested
from latentprobe.experiment.features import Plan, make_plan
from latentprobe.experiment.further import curves, regimes
from latentprobe.experiment.places import require_folder
from latentprobe.experiment.reconstruction import rebuilt, with_scores_of
from latentprobe.experiment.representations import COLUMNS, representations
from latentprobe.experiment.results import METRICS, predictions_table, results_of
from latentprobe.experiment.statistics import statistics_of
from latentprobe.files import atomic_folder, write_json, write_text
from latentprobe.learn import Evaluation, Representation, Split, evaluate, split, units_of
from latentprobe.learn.repeats import trials_of
from latentprobe.report import write_report
from latentprobe.store import SparseFeatures
from latentprobe.store.labels import FeatureLabel

__all__ = ["RUN_FILES", "run_experiment"]

#: Every file of a run directory. What else lies there was put there by the user, and a second run keeps it.
RUN_FILES = (
    "spec.yaml", "environment.json", "results.json", "evidence.json", "faithfulness.json", "predictions.parquet",
    "decisions.parquet",
    "report.html",
    *(f"bundle/{name}" for name in BUNDLE_FILES),
)  # fmt: skip


def run_experiment(
    spec: ExperimentSpec,
    out: Path,
    *,
    store: Path | None = None,
    jobs: int | None = None,
    reporter: Reporter | None = None,
) -> Path:
    """Run an experiment and write its directory.

    Args:
        spec: what to compare on which data.
        out: the run directory; an earlier run there is replaced, with what else was put there kept; any other folder
            with content is refused.
        store: folder of the features. Default: ``$LATENTPROBE_STORE`` or the user's cache.
        jobs: processes for the probes. Default: one a core.
        reporter: who hears how far it is.

    Returns:
        ``out``, now holding spec.yaml, environment.json, results.json, evidence.json, faithfulness.json (where
        the spec asks for it), predictions.parquet, decisions.parquet, report.html and bundle/.

    Raises:
        LatentprobeError: anything wrong with spec, data, model, SAEs or folders, before anything is computed.
    """
    reporter, watch = reporter or Silent(), Stopwatch()
    require_folder(out, "results.json")
    with watch.stage("read"):
        plan = make_plan(spec, store)
        share = spec.data.test if isinstance(spec.data.test, float) else 0.0
        parts = split(plan.corpus, test=share, seed=spec.evaluate.seed)
        trials = trials_of(plan.corpus, units_of(plan.corpus), spec.probe, spec.evaluate, test=share)
    with watch.stage("extract"):
        plan.extract(reporter)
        places = rebuilt(plan, parts, reporter)
    rows = representations(plan.spec, plan.all_sources, plan.corpus, plan.store, plan.answers)
    with watch.stage("evaluate"):
        evaluation = _evaluate(plan, rows, parts, jobs, reporter)
    with watch.stage("statistics"):
        blocks = statistics_of(plan, rows, parts, evaluation, trials, jobs, reporter)
    with watch.stage("curves"):
        blocks["curves"] = curves(plan, parts, rows, evaluation, jobs)
    with watch.stage("regimes"):
        blocks["regimes"] = regimes(plan, parts, rows, jobs, reporter)
    blocks["reconstruction"] = with_scores_of(places, evaluation.rows)
    assert evaluation.selected is not None
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | evaluation.rows[evaluation.selected]
    source = _selected_source(plan, row)
    bundle = _bundle(plan, parts, evaluation, source, label_table(row["sae"]).features, row)
    with watch.stage("faithfulness"):
        truth = tested(plan, parts, evaluation, source, row, bundle, reporter)
        blocks["faithfulness"] = summary_of(truth)
    with atomic_folder(out, RUN_FILES) as folder:
        with watch.stage("write"):
            _write(folder, plan, parts, evaluation, blocks, source, bundle)
            if truth is not None:
                write_json(folder / "faithfulness.json", truth)
        made = environment(plan.all_sources, spec.evaluate.seed, watch.seconds, plan.answers)
        write_json(folder / "environment.json", made)
        write_report(folder)
    return out


def _evaluate(
    plan: Plan, rows: Sequence[Representation], parts: Split, jobs: int | None, reporter: Reporter
) -> Evaluation:
    """Every representation, on the same split and folds."""
    done = 0

    def advance(line: str) -> None:
        nonlocal done
        done += 1
        reporter.progress("compare", done, len(rows))

    return evaluate(
        rows,
        plan.corpus.target,
        units_of(plan.corpus),
        parts,
        plan.spec.probe,
        plan.spec.evaluate,
        jobs=jobs,
        memory=plan.outcomes,
        progress=advance,
    )


def _write(
    folder: Path,
    plan: Plan,
    parts: Split,
    evaluation: Evaluation,
    blocks: dict[str, Any],
    source: PlannedSource,
    bundle: Bundle,
) -> None:
    """Everything of the run directory but what says how long it took."""
    spec, corpus = plan.spec, plan.corpus
    results = results_of(spec, corpus, parts, evaluation) | blocks
    row = results["selected"]
    write_text(folder / "spec.yaml", yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
    write_json(folder / "results.json", results)
    table = label_table(row["sae"])
    evidence = evidence_of(plan, parts, evaluation, source, table.features, row)
    features = plan.store.read(source.fingerprint, [row["pooling"]])
    assert isinstance(features, SparseFeatures)
    shown = {
        "profiles": profiles_of(evidence["classes"], corpus, parts, evaluation, features, table.features, row),
        "neuronpedia": neuronpedia(row["sae"]),
        "labels": table.provenance,
    }
    write_json(folder / "evidence.json", evidence | shown)
    decided = decisions_table(corpus, parts, evaluation, features, table.features, row["pooling"])
    pq.write_table(decided, folder / "decisions.parquet", compression="zstd")
    pq.write_table(predictions_table(corpus, parts, evaluation), folder / "predictions.parquet", compression="zstd")
    bundle.save(folder / "bundle")


def _selected_source(plan: Plan, row: dict[str, Any]) -> PlannedSource:
    found = [
        source
        for source in plan.all_sources
        if source.sae is not None
        and (source.model, source.hook.layer, source.sae.reference, source.tokens)
        == (row["model"], row["layer"], row["sae"], row["tokens"])
    ]
    assert len(found) == 1
    return found[0]


def _bundle(
    plan: Plan,
    parts: Split,
    evaluation: Evaluation,
    source: PlannedSource,
    labels: Mapping[int, FeatureLabel],
    row: dict[str, Any],
) -> Bundle:
    """The selected row as a classifier."""
    assert isinstance(source.sae, SAE) and evaluation.probe is not None and evaluation.calibration is not None
    target = plan.corpus.target.take(parts.train)
    backbone = plan.spec.backbones[[source in own for own in plan.sources].index(True)]
    rows: Literal["texts", "images"] = "texts" if plan.corpus.images is None else "images"
    measured = f"on {len(parts.test)} test rows that no choice was made on"
    return build_bundle(
        evaluation.probe,
        sae=source.sae,
        backbone=backbone.model_copy(update={key: source.made_from[key] for key in ("dtype", "bos")}),
        files=source.files,
        pooling=row["pooling"],
        binarize=_binarize(row["binarize"]),
        selection=row["selection"],
        target=target,
        calibration=evaluation.calibration,
        labels=labels,
        metrics={metric: row.get(metric) for metric in METRICS} | {"measured": measured},
        card=card_for(plan.corpus.name, target, measured=measured, notes=plan.corpus.notes, rows=rows),
        rows=rows,
    )


def _binarize(written: str) -> str | float:
    return written if written in ("none", "auto") else float(written)
