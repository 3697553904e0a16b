"""What SAEs rebuild of the states they are given, beside how well their features classify.

For the SAE of a base model on a tuned one: features that classify well may still describe states that they hardly
rebuild, and the other way round. Done where a spec accepts SAEs of other models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latentprobe.encode.check import measure
from latentprobe.encode.extract import shared_reader
from latentprobe.encode.formats import load_sae
from latentprobe.encode.sae import SAE
from latentprobe.experiment.environment import Reporter
from latentprobe.experiment.features import Plan
from latentprobe.learn import Split

__all__ = ["rebuilt", "with_scores_of"]

#: Training rows that are rebuilt, at most.
ROWS = 200

#: Figures of `saes check` that say how well states are rebuilt.
FIGURES = ("tokens", "l0", "explained_variance", "cosine", "norm_ratio")

#: What tells of which place a row of the table is.
PLACE = ("model", "layer", "sae", "tokens")


def rebuilt(plan: Plan, parts: Split, reporter: Reporter) -> list[dict[str, Any]]:
    """What each trained SAE rebuilds of each backbone's states on the first training rows.

    Returns:
        One dict an SAE and backbone: ``model``, ``layer``, ``sae``, ``tokens`` (the selection), ``trained_on`` (None
        where the SAE does not say) and ``figures``; nothing where no backbone accepts SAEs of other models.

    Raises:
        SAEError: an SAE without decoder.
    """
    if not any(backbone.accept_model for backbone in plan.spec.backbones):
        return []
    rows = [plan.corpus.rows[row] for row in parts.train[:ROWS]]
    found: list[dict[str, Any]] = []
    for backbone, sources in zip(plan.spec.backbones, plan.sources, strict=True):
        trained = [source for source in sources if isinstance(source.sae, SAE)]
        for source in trained:
            bos = {"bos": source.made_from["bos"]}
            reader = shared_reader(backbone.model_copy(update=bos), images=plan.corpus.images is not None)
            sae = load_sae(source.sae.reference, decoder=True)  # type: ignore[union-attr]
            figures, _ = measure(sae.to(reader.device), reader, rows)
            reporter.progress(f"rebuild {backbone.model}", len(found) + 1, len(trained))
            found.append(
                {
                    "model": source.model,
                    "layer": source.hook.layer,
                    "sae": sae.reference,
                    "tokens": source.tokens,
                    "trained_on": sae.model,
                    "figures": {name: getattr(figures, name) for name in FIGURES},
                }
            )
    return found


def with_scores_of(found: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The block ``reconstruction`` of results.json: each place with the row of it that inner folds prefer."""
    if not found:
        return None
    places = []
    for place in found:
        own = [row for row in rows if row["kind"] == "sae" and all(row[key] == place[key] for key in PLACE)]
        best = max(own, key=lambda row: float(row["inner_macro_f1"]))
        kept = {key: best[key] for key in ("name", "inner_macro_f1", "macro_f1", "low", "high")}
        places.append({**place, "best": kept})
    return {"rows": ROWS, "places": places}
