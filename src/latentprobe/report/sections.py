"""The run as the sections of the page: first screen, table of rows, layers and poolings, differences, how it was made.

Sorts, counts and words what the files of the run say. Knows nothing of HTML beyond the pictures of ``charts``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from latentprobe.report import wording
from latentprobe.report.charts import Kind, Mark, Scale, axis, bar, scale_for, track
from latentprobe.report.run_files import RunFiles
from latentprobe.report.wording import Row

__all__ = ["contenders", "differences", "layers", "making", "summary", "table"]

Section = dict[str, Any]

REACH = 0.25
"""A row whose score is lower than the best by more than this is drawn at the edge of the scale, pointing beyond it."""

_VERDICTS = {
    "ahead": "Ahead of the best baseline",
    "level": "Level with the best baseline",
    "behind": "Behind the best baseline",
    "alone": "No baseline to compare with",
}
_FAMILIES = {
    "sae": "Readable (SAE features)",
    "hidden": "Hidden states",
    "tfidf": "Word counts (TF-IDF)",
    "majority": "Most frequent class",
    "length": "Text length",
    "prompted": "Hidden states after the question",
    "zero-shot": "The model's own answer",
    "pca": "Principal components",
    "both": "SAE features and hidden states",
    "random": "Untrained SAE",
}


def summary(results: Section, environment: Section) -> Section:
    """The first screen: outcome, what weakens it, a few facts, and the chosen row beside each kind of baseline."""
    rows = contenders(results)
    scale = _scale(rows)
    how = wording.verdict(results["difference"])
    return {
        "verdict": how,
        "verdict_text": _VERDICTS[how],
        "headline": wording.headline(results),
        "warning": wording.warning(results),
        "facts": list(_facts(results, environment)),
        "chart": [
            {
                "who": _FAMILIES.get(wording.family(row), row["name"]),
                "what": _what(row),
                "svg": _interval_track(scale, row, "selected" if row["kind"] == "sae" else "baseline"),
                **_score(row),
            }
            for row in rows
        ],
        "axis": _axis(scale),
    }


def contenders(results: Section) -> list[Row]:
    """The chosen row, then the one of each kind of baseline that inner folds prefer, best first."""
    kinds: dict[str, list[Row]] = {}
    for row in results["rows"]:
        if row["kind"] == "baseline":
            kinds.setdefault(wording.family(row), []).append(row)
    best = [wording.best_by_inner(rows) for rows in kinds.values()]
    chosen = results["best_baseline"]
    best = [chosen if chosen and wording.family(chosen) == wording.family(row) else row for row in best]
    return [results["selected"], *sorted(best, key=lambda row: -(row["macro_f1"] or 0))]


def _what(row: Row) -> str:
    """What the family's name leaves open."""
    kind = wording.family(row)
    return wording.kind_of(row) if kind == "tfidf" else wording.setting(row)


def _scale(rows: Sequence[Row], keys: Sequence[str] = ("macro_f1", "low", "high")) -> Scale:
    """A scale for macro F1. Rows far below the best stay out: they would press all others together."""
    best = max(row["macro_f1"] or 0 for row in rows)
    return scale_for(row[key] for row in rows if (row["macro_f1"] or 0) >= best - REACH for key in keys)


def _facts(results: Section, environment: Section) -> Iterator[tuple[str, str]]:
    """Label and figure of what one wants to know at a glance."""
    yield "test rows", f"{results['n_test']:,}"
    yield "training rows", f"{results['n_train']:,}"
    yield "labels" if results.get("target") == "multilabel" else "classes", f"{len(results['classes']):,}"
    yield "representations compared", f"{len(results['rows']):,}"
    if results["selected"].get("n_features") is not None:
        yield "features read by the classifier", f"{results['selected']['n_features']:,}"
    stages = environment.get("seconds") or {}
    if stages:
        yield "compute time", wording.seconds(sum(stages.values()))


def table(results: Section) -> Section:
    """All rows with intervals: the chosen ones first, the rest as inner folds rank them."""
    scale = _scale(results["rows"])
    models = {row["model"] for row in results["rows"] if row.get("model")}
    lines = [_line(row, results, scale, several_models=len(models) > 1) for row in results["rows"]]
    order = {"selected": 0, "best baseline": 1, "exploration": 2}
    lines.sort(
        key=lambda line: (order[line["role"]], -(line["inner_value"] if line["inner_value"] is not None else -1))
    )
    return {"lines": lines, "axis": _axis(scale, ends=True), "temptation": wording.temptation(results)}


def _line(row: Row, results: Section, scale: Scale, *, several_models: bool) -> Section:
    is_selected = row["kind"] == "sae" and row["selected"]
    is_best = not is_selected and row == results["best_baseline"]
    kind = wording.family(row)
    details = [
        row["model"] if several_models else None,
        f"{'in place of' if kind == 'random' else 'with'} {wording.sae_name(row)}"
        if kind in ("random", "both")
        else None,
        None if row.get("selection") in (None, "all") else f"selection {row['selection']}",
        f"C = {row['C']:g}" if row.get("C") is not None else None,
    ]
    return {
        "role": "selected" if is_selected else "best baseline" if is_best else "exploration",
        "kind": row["kind"],
        "name": wording.sae_name(row) if kind == "sae" else wording.kind_of(row),
        "details": " · ".join(detail for detail in details if detail),
        "setting": wording.setting(row),
        "layer": row.get("layer"),
        "pooling": row.get("pooling"),
        "binarize": None if row.get("binarize") is None else _binarize(row["binarize"]),
        "svg": _interval_track(scale, row, "selected" if is_selected else "baseline" if is_best else "test"),
        "inner": wording.number(row.get("inner_macro_f1"), 3),
        "inner_value": row.get("inner_macro_f1"),
        "accuracy": wording.number(row.get("accuracy"), 3),
        "accuracy_value": row.get("accuracy"),
        "n_features": row.get("n_features"),
        "unconverged": row.get("converged") is False,
        **_score(row),
    }


def _binarize(value: Any) -> str:
    return str(value) if value in ("none", "auto") else f"> {float(value):g}"


def layers(results: Section) -> Section | None:
    """For each layer and pooling the row inner folds prefer, its inner and its test score, and the others faintly.

    None where there is only one such place: one point is no picture.
    """
    rows = [row for row in results["rows"] if row["kind"] == "sae"]
    places: dict[tuple[str, int], dict[str, list[Row]]] = {}
    for row in rows:
        places.setdefault((row["model"] or "", row["layer"]), {}).setdefault(row["pooling"], []).append(row)
    if sum(len(poolings) for poolings in places.values()) < 2:
        return None
    hidden = [row for row in results["rows"] if row["kind"] == "baseline" and wording.family(row) == "hidden"]
    reference = wording.best_by_inner(hidden) if hidden else None
    shown = [*rows, *([reference] if reference else [])]
    scale = _scale(shown, ("macro_f1", "inner_macro_f1"))
    several = len({model for model, _ in places}) > 1
    return {
        "groups": [
            {
                "title": f"{model}, layer {layer}" if several else f"Layer {layer}",
                "lines": [_place(pooling, found, scale, reference) for pooling, found in poolings.items()],
            }
            for (model, layer), poolings in sorted(places.items(), key=lambda item: item[0])
        ],
        "axis": _axis(scale),
        "reference": wording.number(reference["macro_f1"], 3) if reference else None,
        "reference_what": wording.representation(reference) if reference else None,
        "others": any(len(found) > 1 for poolings in places.values() for found in poolings.values()),
    }


def _place(pooling: str, rows: Sequence[Row], scale: Scale, reference: Row | None) -> Section:
    best = wording.best_by_inner(rows)
    marks = [Mark(row["macro_f1"], "faint") for row in rows if row is not best and row["macro_f1"] is not None]
    if best["inner_macro_f1"] is not None:
        marks.append(Mark(best["inner_macro_f1"], "inner"))
    marks.append(Mark(best["macro_f1"], "selected" if best["selected"] else "test"))
    inner, test = wording.number(best["inner_macro_f1"], 3), wording.number(best["macro_f1"], 3)
    title = f"{pooling}: inner macro F1 {inner}, test {test}"
    return {
        "pooling": pooling,
        "selected": best["selected"],
        "svg": track(scale, marks, title=title, reference=reference["macro_f1"] if reference else None),
        "inner": inner,
        "test": test,
    }


def differences(run: RunFiles) -> Section | None:
    """The chosen row minus each baseline, on the same test rows, with p values corrected for there being several."""
    results = run.results
    by_name = {row["name"]: row for row in results["rows"] if row["kind"] == "baseline"}
    hidden = by_name.keys() - {row["name"] for row in wording.main_rows(list(by_name.values()))}
    found = [one for one in results.get("differences") or [] if one["baseline"] not in hidden]
    if not found:
        return None
    shown = [one for one in found if abs(one["value"]) <= REACH] or found
    scale = scale_for([0.0, *(one[key] for one in shown for key in ("low", "high"))], bounds=(-1, 1))
    lines = []
    for one in found:
        row = by_name.get(one["baseline"])
        value, between = wording.signed(one["value"], 3), wording.interval(one["low"], one["high"], 3, plus=True)
        words, kind = _difference_words(one)
        mark = Mark(one["value"], kind, one["low"], one["high"])
        lines.append(
            {
                "baseline": wording.representation(row) if row else one["baseline"],
                "svg": track(scale, [mark], title=f"difference {value} {between}", reference=0.0),
                "value": value,
                "interval": between,
                "p": wording.probability(one.get("p")),
                "p_holm": wording.probability(one.get("p_holm")),
                "words": words,
            }
        )
    scale_axis = axis(scale, signed=True, decimals=_decimals(scale))
    return {"lines": lines, "axis": scale_axis, "hidden": len(hidden), "agreement": agreement(run)}


def agreement(run: RunFiles) -> list[tuple[str, int]] | None:
    """On how many test rows the chosen row and the best baseline are right, both or one alone.

    None for several labels, where a row is not simply right or wrong, and where there is no baseline.
    """
    best = run.results["best_baseline"]
    columns = [
        run.predictions.get(name) for name in ("true", "selected/label", f"{best['name']}/label" if best else "")
    ]
    if run.results.get("target") == "multilabel" or any(column is None for column in columns):
        return None
    counts = Counter((ours == true, theirs == true) for true, ours, theirs in zip(*columns, strict=True))
    kinds = {
        "both are right": (True, True),
        "only the readable one": (True, False),
        "only the baseline": (False, True),
        "neither": (False, False),
    }
    return [(words, counts[kind]) for words, kind in kinds.items()]


def _difference_words(one: Section) -> tuple[str, Kind]:
    """What a difference says, told from the corrected p where there is one, and the mark that says the same."""
    p = one.get("p_holm")
    clear = p < 0.05 if p is not None else one["low"] > 0 or one["high"] < 0
    if not clear:
        return "no clear difference", "test"
    return ("readable one better", "selected") if one["value"] > 0 else ("baseline better", "baseline")


def making(run: RunFiles) -> Section:
    """How the run was made: data, versions, seconds, spec."""
    environment, results = run.environment, run.results
    stages = environment.get("seconds") or {}
    longest = max(stages.values(), default=0) or 1
    plain = ("latentprobe", "python", "platform", "cpu_count", "seed")
    return {
        "notes": results.get("notes") or [],
        "n_rows": results.get("n_rows", results["n_train"] + results["n_test"]),
        "version": environment.get("latentprobe"),
        "facts": [(key.replace("_", " "), told(environment[key])) for key in plain if environment.get(key) is not None],
        "lists": [
            (title, [told(item) for item in environment.get(key) or []])
            for key, title in (("models", "Models"), ("saes", "SAEs"))
        ],
        "fingerprints": sorted((environment.get("fingerprints") or {}).items()),
        "packages": sorted((environment.get("packages") or {}).items()),
        "stages": [
            {"name": name, "took": wording.seconds(took), "svg": bar(took / longest, title=wording.seconds(took))}
            for name, took in stages.items()
        ],
        "spec": run.spec,
    }


def told(value: Any) -> str:
    """A JSON value as short text.

    >>> told({"name": "minilm", "layers": [1, 3]})
    'name: minilm; layers: 1, 3'
    """
    if isinstance(value, dict):
        return "; ".join(f"{key}: {told(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(told(item) for item in value)
    return str(value)


def _score(row: Row) -> Section:
    return {
        "score": wording.number(row["macro_f1"], 3),
        "score_value": row["macro_f1"],
        "interval": wording.interval(row["low"], row["high"], 3) if row["low"] != row["high"] else "",
    }


def _interval_track(scale: Scale, row: Row, kind: Kind) -> Markup | str:
    if row["macro_f1"] is None:
        return ""
    between = wording.interval(row["low"], row["high"], 3)
    title = f"macro F1 {wording.number(row['macro_f1'], 3)}" + (f", 95 % interval {between}" if between else "")
    return track(scale, [Mark(row["macro_f1"], kind, row["low"], row["high"])], title=title)


def _axis(scale: Scale, *, ends: bool = False) -> Markup:
    return axis(Scale(scale.low, scale.high, (scale.low, scale.high)) if ends else scale, decimals=_decimals(scale))


def _decimals(scale: Scale) -> int:
    """Decimals that tell neighbouring ticks apart."""
    return next((d for d in (1, 2, 3) if all(abs(tick - round(tick, d)) < 1e-9 for tick in scale.ticks)), 4)
