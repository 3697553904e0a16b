"""A transfer, whole: read the domains, extract, fit on each, test on each, compare features, write the directory.

As of an experiment, the directory appears at once, and features and fits that were finished before an interruption are
in the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import scipy.sparse as sp
import yaml

from latentprobe.config import TransferSpec
from latentprobe.encode.formats import label_table
from latentprobe.experiment.domains import Domain, join, read_domains
from latentprobe.experiment.environment import Reporter, Silent, Stopwatch, environment
from latentprobe.experiment.features import TEXT_BASELINES, Finders, Plan, plan_rows
from latentprobe.experiment.places import require_folder
from latentprobe.experiment.representations import representations
from latentprobe.experiment.transfer_results import overlap_of, predictions_table, results_of
from latentprobe.explain.strongest import strongest
from latentprobe.files import atomic_folder, sha256_json, write_json, write_text
from latentprobe.learn import Representation
from latentprobe.learn.cells import cells
from latentprobe.learn.overlap import weights_of
from latentprobe.learn.transfer import Domains, Transfer, transfer
from latentprobe.report import write_transfer_report
from latentprobe.store import OutcomeStore, SparseFeatures

__all__ = ["TransferPlan", "make_transfer_plan", "run_transfer"]

#: Every file of the directory of a transfer.
FILES = ("spec.yaml", "environment.json", "transfer.json", "predictions.parquet", "report.html")


@dataclass(frozen=True, eq=False)
class TransferPlan:
    """A spec with its domains read and its sources found: everything that can be refused has been."""

    spec: TransferSpec
    domains: tuple[Domain, ...]
    joined: Domains
    plans: tuple[Plan, ...]
    """One a domain."""
    notes: tuple[str, ...]

    @property
    def families(self) -> list[str]:
        """Of each representation ``sae``, or the kind of baseline."""
        return [_family(row) for row in self.representations]

    @property
    def own(self) -> list[list[Representation]]:
        """The representations of each domain alone."""
        return [representations(plan.spec, plan.all_sources, plan.corpus, plan.store) for plan in self.plans]

    @property
    def representations(self) -> list[Representation]:
        """Those of all rows together."""
        return [_together(parts) for parts in zip(*self.own, strict=True)]


def make_transfer_plan(spec: TransferSpec, store: Path | None, find: Finders | None = None) -> TransferPlan:
    """Read, join and find everything, computing nothing."""
    find = find or Finders()
    domains = read_domains(spec, find.corpus)
    joined, notes = join(domains, spec)
    absent = [name for name in spec.baselines if name in TEXT_BASELINES]
    if any(domain.corpus.images is not None for domain in domains) and absent:
        kept = tuple(name for name in spec.baselines if name not in absent)
        if kept:  # else the plan of the images refuses
            spec = spec.model_copy(update={"baselines": kept})
            notes.append(f"Left out, as rows are images: {', '.join(absent)}.")
    own = dict.fromkeys(f"{domain.name}: {note}" for domain in domains for note in domain.corpus.notes)
    plans = tuple(plan_rows(spec.experiment(domain.spec), domain.corpus, store, find) for domain in domains)
    return TransferPlan(spec, tuple(domains), joined, plans, (*own, *notes))


def run_transfer(
    spec: TransferSpec,
    out: Path,
    *,
    store: Path | None = None,
    jobs: int | None = None,
    reporter: Reporter | None = None,
) -> Path:
    """Run a transfer and write its directory.

    Args:
        spec: the domains, and what is compared across them.
        out: the directory; an earlier transfer there is replaced, any other folder with content is refused.
        store: folder of the features. Default: ``$LATENTPROBE_STORE`` or the user's cache.
        jobs: processes for the probes. Default: one a core.
        reporter: who hears how far it is.

    Returns:
        ``out``, now holding spec.yaml, environment.json, transfer.json, predictions.parquet and report.html.

    Raises:
        LatentprobeError: anything wrong with spec, data, model, SAEs or folders, before anything is computed.
    """
    reporter, watch = reporter or Silent(), Stopwatch()
    require_folder(out, "transfer.json")
    with watch.stage("read"):
        plan = make_transfer_plan(spec, store)
    with watch.stage("extract"):
        for part in plan.plans:
            part.extract(reporter)
    with watch.stage("evaluate"):
        result = _fitted(plan, jobs, reporter)
    with watch.stage("compare"):
        results = _results(plan, result)
    with atomic_folder(out, FILES) as folder:
        text = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        write_text(folder / "spec.yaml", text)
        write_json(folder / "transfer.json", results)
        ids = [row for domain in plan.domains for row in domain.corpus.ids]
        table = predictions_table(result, plan.joined, ids)
        pq.write_table(table, folder / "predictions.parquet", compression="zstd")
        write_json(folder / "environment.json", _environment(plan, watch.seconds))
        write_transfer_report(folder)
    return out


def _environment(plan: TransferPlan, seconds: dict[str, float]) -> dict[str, Any]:
    """The content of environment.json, where each fingerprint is that of a domain."""
    seed = plan.spec.evaluate.seed
    own = {domain.name: part.all_sources for domain, part in zip(plan.domains, plan.plans, strict=True)}
    made = environment([source for sources in own.values() for source in sources], seed, seconds)
    each = {name: environment(sources, seed, {})["fingerprints"] for name, sources in own.items()}
    return made | {"fingerprints": {f"{name}: {key}": value for name in each for key, value in each[name].items()}}


def _together(parts: Sequence[Representation]) -> Representation:
    """A representation of the rows of all domains, one below the other."""
    first = parts[0]
    tokens = list(dict.fromkeys(part.columns.get("tokens") for part in parts))
    name, columns = first.name, dict(first.columns)
    if len(tokens) > 1:
        name, columns["tokens"] = name.replace(f" ({tokens[0]})", ""), " or ".join(map(str, tokens))
    return replace(
        first,
        name=name,
        columns=columns,
        load=lambda: _stacked([part.load() for part in parts]),
        source=sha256_json([part.source for part in parts]),
    )


def _stacked(parts: Sequence[Any]) -> Any:
    """Lists of texts, dense or sparse rows as one."""
    if isinstance(parts[0], list):
        return [row for part in parts for row in part]
    return sp.vstack(parts, format="csr") if sp.issparse(parts[0]) else np.concatenate(parts)


def _family(representation: Representation) -> str:
    """``sae``, or the kind of baseline."""
    if representation.kind == "sae":
        return "sae"
    return "hidden" if representation.columns.get("layer") is not None else representation.name.split(" ")[0]


def _fitted(plan: TransferPlan, jobs: int | None, reporter: Reporter) -> Transfer:
    rows = plan.representations
    return transfer(
        rows,
        plan.families,
        plan.joined,
        plan.spec.probe,
        plan.spec.evaluate,
        memory=OutcomeStore(plan.plans[0].store.root / "outcomes"),
        jobs=jobs,
        progress=lambda done, total: reporter.progress("compare", done, total),
    )


def _results(plan: TransferPlan, result: Transfer) -> dict[str, Any]:
    """The content of transfer.json."""
    settings = plan.spec.evaluate
    found = cells(result, plan.joined, resamples=settings.bootstrap, seed=settings.seed)
    results = results_of(plan.spec, plan.joined, plan.representations, result, found, plan.notes)
    common = plan.representations[result.common]
    rows = common.load()
    weights = [weights_of(rows, probes, train) for probes, train in zip(result.probes, result.train, strict=True)]
    shown = overlap_of(plan.spec, plan.joined, weights, label_table(common.columns["sae"]).features)
    for feature in shown["features"]:
        feature["examples"] = {name: [] for name in feature["weights"]}
    _add_examples(plan, result.common, shown["features"])
    return {**results, "overlap": {"representation": results["representations"][result.common], **shown}}


def _add_examples(plan: TransferPlan, common: int, features: Sequence[dict[str, Any]]) -> None:
    """The texts of each domain that light each feature most."""
    for at in plan.joined.trained:
        domain, part = plan.domains[at], plan.plans[at]
        fingerprint, pooling = plan.own[at][common].source.rsplit("/", 1)
        stored = part.store.read(fingerprint, [pooling])
        assert isinstance(stored, SparseFeatures)
        images = domain.corpus.images
        texts = domain.corpus.texts if images is None else [image.name for image in images]
        for feature in features:
            feature["examples"][domain.name] = strongest(
                stored, pooling, feature["feature"], texts, images=images is not None
            )
