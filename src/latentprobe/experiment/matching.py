"""Feature matching between two SAEs or models on the same rows, and the probe of one carried over to the other.

Matched on training rows without their labels; every probe is judged on the same test rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from latentprobe.config import BackboneSpec, MatchingSpec
from latentprobe.corpus import Corpus, Target, read_corpus
from latentprobe.encode.extract import extract
from latentprobe.encode.formats import label_table
from latentprobe.encode.sources import PlannedSource
from latentprobe.errors import SpecError
from latentprobe.experiment.environment import Reporter, Silent, Stopwatch, environment
from latentprobe.experiment.features import Finders
from latentprobe.experiment.places import require_folder
from latentprobe.files import atomic_folder, write_json, write_text
from latentprobe.learn import FittedProbe, Recipe, Split, choose, inner_folds, split, units_of
from latentprobe.learn.intervals import bootstrap_macro_f1, interval, paired_difference
from latentprobe.learn.matching import Matching, carry, match
from latentprobe.learn.metrics import macro_f1
from latentprobe.store import FeatureStore, SparseFeatures, default_store
from latentprobe.store.labels import shown_label

__all__ = ["plan_sides", "run_matching"]

#: Pairs that are listed, the best first.
LISTED = 200


def run_matching(spec: MatchingSpec, out: Path, *, store: Path | None = None, reporter: Reporter | None = None) -> Path:
    """Match the features of two SAEs and write what was found.

    Args:
        spec: the rows, and the two sides.
        out: the folder of the results; earlier ones there are replaced, any other folder with content is refused.
        store: folder of the features. Default: ``$LATENTPROBE_STORE`` or the user's cache.
        reporter: who hears how far it is.

    Returns:
        ``out``, now holding spec.yaml, environment.json and matching.json: shares of matched features beside chance,
        the best pairs, and macro F1 on test rows of each side's own probe, of the first one's carried over (by best
        partners, one to one, and by partners found on shuffled rows), and of the majority.

    Raises:
        LatentprobeError: anything wrong with spec, data, models, SAEs or folders, before anything is computed.
    """
    reporter, watch = reporter or Silent(), Stopwatch()
    require_folder(out, "matching.json")
    features = FeatureStore(store or default_store())
    with watch.stage("read"):
        corpus = read_corpus(spec.data, folds=spec.evaluate.folds)
        sides = plan_sides(spec, corpus, Finders())
        share = spec.data.test if isinstance(spec.data.test, float) else 0.0
        parts = split(corpus, test=share, seed=spec.evaluate.seed)
    with watch.stage("extract"):
        rows = [
            _rows(side, source, corpus, features, spec.pooling, reporter)
            for side, source in zip((spec.first, spec.second), sides, strict=True)
        ]
    with watch.stage("match"):
        found = _results(spec, corpus, parts, sides, rows)
    with atomic_folder(out, ("spec.yaml", "environment.json", "matching.json")) as folder:
        written = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        write_text(folder / "spec.yaml", written)
        write_json(folder / "environment.json", environment(sides, spec.evaluate.seed, watch.seconds))
        write_json(folder / "matching.json", found)
    return out


def plan_sides(spec: MatchingSpec, corpus: Corpus, find: Finders) -> list[PlannedSource]:
    """The features of the first side and of the second, computing nothing."""
    if corpus.images is not None or corpus.target.kind == "multilabel":
        raise SpecError(
            "features are matched on texts with one label each",
            got=f"{'images' if corpus.images is not None else 'several labels'} in {corpus.name}",
            fix="name a table of texts with one label column",
        )
    sides = []
    for side in (spec.first, spec.second):
        (source,) = find.sources(side, [spec.pooling], corpus.fingerprint, hidden=False)
        sides.append(source)
    return sides


def _rows(
    side: BackboneSpec, source: PlannedSource, corpus: Corpus, store: FeatureStore, pooling: str, reporter: Reporter
) -> Any:
    """Pooled features of all rows, csr_matrix [n, width]."""
    extract(
        side,
        [source],
        corpus.rows,
        corpus.ids,
        store,
        progress=lambda done, total: reporter.progress(f"extract {side.model}", done, total),
        say=reporter.say,
    )
    features = store.read(source.fingerprint, [pooling])
    assert isinstance(features, SparseFeatures)
    return features.csr(pooling)


def _results(
    spec: MatchingSpec, corpus: Corpus, parts: Split, sides: Sequence[PlannedSource], rows: Sequence[Any]
) -> dict[str, Any]:
    """The content of matching.json."""
    first, second = rows
    seed, train = spec.evaluate.seed, parts.train
    settings: dict[str, Any] = {"features": spec.features, "permutations": spec.permutations, "seed": seed}
    matching = match(first[train], second[train], **settings)
    order = np.random.default_rng(seed + 1).permutation(train)
    shuffled = match(first[train], second[order], **settings)
    target = corpus.target.take(train)
    folds = inner_folds(target, units_of(corpus)[train], spec.evaluate.folds, seed)
    own = [choose(side[train], target, folds, Recipe("sparse"), spec.probe).probe for side in rows]
    nothing = choose(list(corpus.texts[row] for row in train), target, folds, Recipe("majority"), spec.probe).probe
    probes: dict[str, tuple[FittedProbe, Any]] = {
        "first, own probe": (own[0], first),
        "second, own probe": (own[1], second),
        "carried over, best partners": (carry(own[0], matching, one_to_one=False), second),
        "carried over, one to one": (carry(own[0], matching, one_to_one=True), second),
        "carried over, shuffled rows": (carry(own[0], shuffled, one_to_one=False), second),
        "majority": (nothing, second),
    }
    return {
        "name": spec.name,
        "metric": "macro_f1",
        "n_train": len(train),
        "n_test": len(parts.test),
        "classes": list(corpus.target.classes),
        "pooling": spec.pooling,
        "first": _described(sides[0], matching.first.columns),
        "second": _described(sides[1], matching.second.columns),
        "matched": float(matching.matched.mean()),
        "matched_one_to_one": float(matching.matched_alone.mean()),
        "matched_by_chance": 1 / (spec.permutations + 1),
        "median_correlation": float(np.median(matching.correlation)),
        "median_correlation_of_shuffled_rows": matching.null_correlation,
        "probes": _scored(probes, corpus, parts, spec),
        "pairs": _pairs(matching, sides),
    }


def _described(source: PlannedSource, columns: Any) -> dict[str, Any]:
    assert source.sae is not None
    return {
        "model": source.model,
        "layer": source.hook.layer,
        "sae": source.sae.reference,
        "width": source.sae.width,
        "tokens": source.tokens,
        "features": len(columns),
    }


def _scored(
    probes: Mapping[str, tuple[FittedProbe, Any]], corpus: Corpus, parts: Split, spec: MatchingSpec
) -> list[dict[str, Any]]:
    """Macro F1 of each probe on the test rows, and its difference from the second side's own."""
    truth: Target = corpus.target.take(parts.test)
    predicted = {name: probe.predict(rows[parts.test], truth.kind) for name, (probe, rows) in probes.items()}
    resampled = bootstrap_macro_f1(
        truth,
        list(predicted.values()),
        units_of(corpus)[parts.test],
        resamples=spec.evaluate.bootstrap,
        seed=spec.evaluate.seed,
    )
    scores = [macro_f1(truth, own) for own in predicted.values()]
    listed = []
    for number, name in enumerate(predicted):
        low, high = interval(resampled[number])
        gap = paired_difference(scores[number] - scores[1], resampled[number], resampled[1])
        listed.append(
            {
                "name": name,
                "macro_f1": scores[number],
                "low": low,
                "high": high,
                "n_features": len(probes[name][0].features),
                "minus_own": {"value": gap.value, "low": gap.low, "high": gap.high, "p": gap.p},
            }
        )
    return listed


def _pairs(matching: Matching, sides: Sequence[PlannedSource]) -> list[dict[str, Any]]:
    """The matched features with the largest correlations, with what they are called where that is known."""
    known = [label_table(source.sae.reference).features if source.sae else {} for source in sides]
    best = [int(one) for one in np.argsort(-matching.correlation, kind="stable") if matching.matched[one]]
    pairs = []
    for one in best[:LISTED]:
        first, second = int(matching.first.columns[one]), int(matching.second.columns[matching.best[one]])
        only = matching.only[one]
        pairs.append(
            {
                "first": first,
                "second": second,
                "correlation": float(matching.correlation[one]),
                "shuffled": float(matching.null[one]),
                "one_to_one": int(matching.second.columns[only]) if only >= 0 else None,
                **{f"first_{name}": value for name, value in shown_label(known[0], first).items()},
                **{f"second_{name}": value for name, value in shown_label(known[1], second).items()},
            }
        )
    return pairs
