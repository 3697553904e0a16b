"""Run directories as `latentprobe run` leaves them, made up but plausible: two classes, many, several labels."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

POOLINGS = ("max", "mean", "sum", "count", "top20")
BINARIZE = ("none", "1.0", "auto")
SAES = (
    (1, "bundled:minilm-l1-4k", 4096),
    (3, "bundled:minilm-l3-4k", 4096),
    (3, "bundled:minilm-l3-1k", 1024),
    (5, "bundled:minilm-l5-4k", 4096),
)

TOPICS = {
    "refund": (
        '"refund", "money back"',
        [
            "I was told my refund would arrive within five days and it has been three weeks.",
            "Could you please refund the second charge on my card?",
            "refund me NOW or I will go to my bank, I am done with you people",
            "Thanks for the quick refund, that was easy.",
            "Is a partial refund possible if only one of the two lamps arrived broken?",
            "They promised a refund, then a voucher, then nothing at all; I have the whole conversation saved and will "
            "gladly send it to whoever at your company still answers messages, because the last four people did not.",
        ],
    ),
    "delivery": (
        '"late parcel", "still waiting"',
        [
            "My parcel has been 'out for delivery' since Monday.",
            "the courier left it in the rain, everything is soaked",
            "Where is my order? The tracking page shows nothing.",
            "It came two days early, lovely surprise!",
            "Still waiting for the second half of the delivery.",
        ],
    ),
    "insult": (
        '"idiot", "useless"',
        [
            "are you people completely useless or just pretending",
            "what an idiot wrote this manual",
            "Your app is a joke and so is whoever answers here.",
            "My boss called the process stupid, and I quote; I only want it fixed.",
            "useless useless useless",
        ],
    ),
    "politeness": (
        '"please", "kind regards"',
        [
            "Could you please let me know when the shop opens again?",
            "Kind regards and thank you for your patience with my questions.",
            "Please, if it is at all possible, change the address.",
            "I would be grateful for a short answer, please.",
        ],
    ),
    "login": (
        '"password", "locked out"',
        [
            "I am locked out of my account since the update.",
            "The reset password mail never arrives.",
            "Can't log in, it says my password is wrong but it is not.",
            "Two-factor code comes ten minutes too late.",
        ],
    ),
    "threat": (
        '"lawyer", "report you"',
        [
            "You will hear from my lawyer.",
            "I'm going to report you to the ombudsman, and I mean it.",
            "one more mail like this and i will come to your office and make you sorry",
            "My sister is a lawyer and says your terms are fine, by the way.",
        ],
    ),
    "exclaiming": (None, ["Finally!!! It works!!!", "NO NO NO!!!", "Wow, what a service!", "What?! Again?!"]),
}

SCORED = {"score": 0.55, "low": 0.52, "high": 0.58, "strongest": 0.9, "strongest_low": 0.85, "strongest_high": 0.95}
"""What a label is worth; every second one has been scored."""

MANY = tuple(
    f"{what}_{about}"
    for about in (
        "card",
        "transfer",
        "top_up",
        "exchange",
        "cash",
        "account",
        "refund",
        "identity",
        "pin",
        "fee",
        "limit",
    )
    for what in ("lost", "pending", "declined", "arrival_of", "wrong", "cancel", "verify")
)


def write_run(folder: Path, *, kind: str = "binary", advantage: float = 0.0, seed: int = 0) -> Path:
    """A whole run directory. ``advantage`` moves the SAE rows against the baselines."""
    make = random.Random(seed)
    classes = {"binary": ["civil", "hostile"], "multiclass": list(MANY), "multilabel": list(TOPICS)[:6]}[kind]
    n_test = {"binary": 200, "multiclass": 3080, "multilabel": 336}[kind]
    rows = _rows(make, kind, advantage, n_test)
    selected = max((r for r in rows if r["kind"] == "sae"), key=lambda r: r["inner_macro_f1"])
    selected["selected"] = True
    baseline = max((r for r in rows if r["kind"] == "baseline"), key=lambda r: r["inner_macro_f1"])
    results = {
        "name": {"binary": "hostile-messages", "multiclass": "banking-77", "multilabel": "moderation"}[kind],
        "metric": "macro_f1",
        "target": kind,
        "n_rows": n_test * 5,
        "n_train": n_test * 4,
        "n_test": n_test,
        "classes": classes,
        "selected": selected,
        "best_baseline": baseline,
        "difference": _difference(make, selected, baseline, n_test),
        "differences": [
            _difference(make, selected, row, n_test) | {"baseline": row["name"]}
            for row in _one_a_kind([r for r in rows if r["kind"] == "baseline"], baseline)
        ],
        "rows": rows,
        "selected_details": _details(make, kind, classes, selected, n_test),
        "best_baseline_details": _details(make, kind, classes, baseline, n_test),
        "notes": [
            "3 empty texts were kept; they get the all-zero row.",
            "2 texts stood on both sides of the split; their training copies were moved to the test side.",
        ],
        "seconds": {},
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_json(folder / "results.json", results)
    save_json(folder / "environment.json", _environment())
    save_json(folder / "evidence.json", _evidence(make, classes, selected, n_test))
    (folder / "spec.yaml").write_text(SPEC, encoding="utf-8")
    write_decisions(folder, classes, n_test, seed=seed)
    pq.write_table(_predictions(make, kind, classes, n_test, baseline["name"]), folder / "predictions.parquet")
    return folder


def _predictions(make: random.Random, kind: str, classes: list[str], n_test: int, baseline: str) -> pa.Table:
    true = [make.choice(classes) for _ in range(n_test)]
    columns: dict[str, Any] = {"id": [f"row-{i}" for i in range(n_test)], "true": true}
    for name in ("selected", baseline):
        columns[f"{name}/label"] = [label if make.random() < 0.87 else make.choice(classes) for label in true]
    if kind == "multilabel":
        columns = {name: values if name == "id" else [[v] for v in values] for name, values in columns.items()}
    return pa.table(columns)


def write_decisions(folder: Path, classes: list[str], n: int, *, seed: int = 0) -> None:
    """decisions.parquet: topics with their features, one row in eight wrong."""
    make = random.Random(seed)
    topics = [(number, label, texts) for number, (label, texts) in enumerate(TOPICS.values())]
    rows = []
    for i in range(n):
        number, label, texts = make.choice(topics)
        text = f"{make.choice(texts)} ({i})"
        true = make.choice(classes)
        given = true if i % 8 else classes[(classes.index(true) + 1) % len(classes)]
        words = text.split(" ")
        lit = [
            {
                "feature": 100 * number + place,
                "label": label,
                "label_score": SCORED if label and place % 2 == 0 else None,
                "contribution": (0.9 - 0.2 * place) * (-1) ** (place == 2),
                "value": 1.5,
                "token": word,
                "start": text.index(word),
                "end": text.index(word) + len(word),
            }
            for place, word in enumerate(words[:4])
        ]
        rows.append(
            {"id": f"row-{i}", "true": [true], "predicted": [given], "right": true == given, "towards": given}
            | {"score": make.uniform(0.5, 1), "text": text, "cut_before": False, "cut_after": i % 5 == 0}
            | {"features": lit}
        )
    pq.write_table(pa.Table.from_pylist(rows, schema=DECIDED), folder / "decisions.parquet")


_LIT = {"feature": pa.int32(), "label": pa.string(), "contribution": pa.float32(), "value": pa.float32()}
_LIT |= {"label_score": pa.struct([(name, pa.float32()) for name in SCORED])}
_LIT |= {"token": pa.string(), "start": pa.int32(), "end": pa.int32()}
_NAMES = pa.list_(pa.string())
_ROW = {"id": pa.string(), "true": _NAMES, "predicted": _NAMES, "right": pa.bool_(), "towards": pa.string()}
_ROW |= {"score": pa.float32(), "text": pa.string(), "cut_before": pa.bool_(), "cut_after": pa.bool_()}
DECIDED = pa.schema(_ROW | {"features": pa.list_(pa.struct(_LIT))})


def save_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=True, indent=1), encoding="utf-8")


def change_json(path: Path, change: Any) -> None:
    """Apply ``change`` to the value in a JSON file."""
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    save_json(path, value)


def _rows(make: random.Random, kind: str, advantage: float, n_test: int) -> list[dict[str, Any]]:
    level = {"binary": 0.885, "multiclass": 0.86, "multilabel": 0.74}[kind]
    wide = 1.9 * (level * (1 - level) / n_test) ** 0.5
    good = {1: -0.05, 3: 0.0, 5: -0.012}
    pool = {"max": 0.0, "mean": -0.012, "sum": -0.008, "count": -0.018, "top20": -0.022, "last": -0.15}

    def row(kind_: str, name: str, centre: float, **columns: Any) -> dict[str, Any]:
        test = min(0.995, max(0.02, centre + make.gauss(0, wide / 2.5)))
        inner = min(0.995, max(0.02, centre + make.gauss(0, wide / 4)))
        own = 0.0 if name == "majority" else wide
        return {
            "kind": kind_,
            "name": name,
            "model": None,
            "layer": None,
            "sae": None,
            "width": None,
            "tokens": None,
            "pooling": None,
            "binarize": None,
            "selection": None,
            "C": make.choice([0.01, 0.1, 1.0, 10.0]),
            "macro_f1": round(test, 6),
            "low": round(test - own * 1.1, 6),
            "high": round(min(1, test + own * 0.9), 6),
            "accuracy": None if kind == "multilabel" else round(min(1, test + 0.004), 6),
            "inner_macro_f1": round(inner, 6),
            "n_features": None,
            "selected": False,
            "converged": True,
        } | columns

    rows = []
    for layer, sae, width in SAES:
        for pooling in POOLINGS:
            for binarize in BINARIZE:
                tail = "" if binarize == "none" else f" binarized {binarize}"
                centre = level + advantage + good[layer] + pool[pooling] + make.gauss(0, 0.006) - (width < 2000) * 0.02
                rows.append(
                    row(
                        "sae",
                        f"layer {layer} {sae.removeprefix('bundled:')} {pooling}{tail}",
                        centre,
                        model="minilm",
                        layer=layer,
                        sae=sae,
                        width=width,
                        tokens="content",
                        pooling=pooling,
                        binarize=binarize,
                        selection="all",
                        n_features=make.randrange(width // 4, width),
                    )
                )
    for layer in (1, 3, 5):
        for pooling in ("mean", "max", "last"):
            rows.append(
                row(
                    "baseline",
                    f"layer {layer} hidden {pooling}",
                    level + good[layer] + pool[pooling],
                    model="minilm",
                    layer=layer,
                    tokens="content",
                    pooling=pooling,
                    binarize="none",
                    selection="all",
                    n_features=384,
                )
            )
    rows.append(row("baseline", "tfidf words", level - 0.08, n_features=8211))
    rows.append(row("baseline", "tfidf characters", level - 0.06, n_features=20000))
    rows.append(
        row("baseline", "majority", {"binary": 0.334, "multiclass": 0.001, "multilabel": 0.05}[kind], n_features=0)
    )
    rows[7]["converged"] = False
    return rows


def _one_a_kind(rows: list[dict[str, Any]], best: dict[str, Any]) -> list[dict[str, Any]]:
    hidden = [r for r in rows if r["layer"] is not None]
    return [max(hidden, key=lambda r: r["inner_macro_f1"]), *(r for r in rows if r["layer"] is None)]


def _difference(make: random.Random, ours: dict[str, Any], theirs: dict[str, Any], n_test: int) -> dict[str, Any]:
    value = ours["macro_f1"] - theirs["macro_f1"]
    wide = 0.5 / n_test**0.5
    p = min(1.0, 2.0 ** (-((value / wide * 2) ** 2)))
    return {"value": value, "low": value - wide, "high": value + wide, "p": p, "p_holm": min(1.0, 3 * p)}


def _details(make: random.Random, kind: str, classes: list[str], row: dict[str, Any], n_test: int) -> dict[str, Any]:
    right = row["macro_f1"]
    support = [make.randint(n_test // len(classes) // 2 + 1, n_test // len(classes) + 4) for _ in classes]
    confusion = None
    if kind != "multilabel":
        confusion = [[0] * len(classes) for _ in classes]
        for i, count in enumerate(support):
            for _ in range(count):
                j = i if make.random() < right else (i + make.choice([1, 1, 1, 7, 30])) % len(classes)
                confusion[i][j] += 1
    per_class = []
    for name, count in zip(classes, support, strict=True):
        f1 = min(1.0, max(0.0, right + make.gauss(0, 0.06)))
        per_class.append(
            {"class": name, "precision": min(1.0, f1 + 0.02), "recall": max(0, f1 - 0.02), "f1": f1, "support": count}
        )
    binary = kind == "binary"
    return {
        "per_class": per_class,
        "confusion": confusion,
        "roc_auc": min(1, right + 0.06),
        "average_precision": min(1, right + 0.03),
        "brier": 0.081,
        "ece": 0.034,
        "recall_at_fpr": {"0.01": 0.61, "0.05": 0.83} if binary else None,
    }


def _evidence(make: random.Random, classes: list[str], row: dict[str, Any], n_test: int) -> dict[str, Any]:
    topics = list(TOPICS.values())
    found = []
    for k, name in enumerate(classes):
        features = []
        for rank in range(12):
            label, texts = topics[(3 * k + rank) % len(topics)]
            own = 0.9 * 0.86**rank
            rate = {other: round(make.random() * 0.12, 4) for other in classes} | {name: round(own, 4)}
            features.append(
                {
                    "feature": make.randrange(4096),
                    "label": label,
                    "label_score": SCORED if label and rank % 2 == 0 else None,
                    "weight": round(2.4 * 0.9**rank, 4),
                    "mean_contribution": round(1.7 * 0.84**rank, 4),
                    "rate": rate,
                    "rate_others": 0.061,
                    "examples": [_example(make, i, text, classes, name) for i, text in enumerate(texts[:4])],
                }
            )
        found.append({"class": name, "n_train": n_test * 4 // len(classes), "features": features})
    return {
        "pooling": row["pooling"],
        "binarize": row["binarize"],
        "sae": row["sae"],
        "layer": row["layer"],
        "model": "minilm",
        "classes": found,
    }


def _example(make: random.Random, place: int, text: str, classes: list[str], name: str) -> dict[str, Any]:
    words = text.split(" ")
    word = make.randrange(len(words))
    start = len(" ".join(words[:word])) + (word > 0)
    return {
        "id": f"row-{make.randrange(1000)}",
        "text": text,
        "start": start,
        "end": start + len(words[word]),
        "cut_before": place == 1,
        "cut_after": place in (1, 2),
        "value": round(4.2 * 0.8**place, 3),
        "typical": place == 3,
        "true": name if make.random() < 0.8 else make.choice(classes),
    }


def _environment() -> dict[str, Any]:
    return {
        "latentprobe": "0.1.0",
        "python": "3.11.9",
        "platform": "Linux-6.1-x86_64",
        "cpu_count": 2,
        "seed": 0,
        "packages": {"numpy": "2.4.0", "scipy": "1.17.0", "scikit-learn": "1.9.1", "torch": "2.13.0"},
        "models": [{"name": "minilm", "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"}],
        "saes": [{"reference": name, "width": width, "layer": layer} for layer, name, width in SAES],
        "fingerprints": {name: f"{i:064x}" for i, (_, name, _) in enumerate(SAES)},
        "seconds": {"read": 0.21, "encode": 38.4, "compare": 71.9, "bundle": 1.2, "evidence": 2.3},
    }


SPEC = """\
name: hostile-messages
data:
  path: messages.csv
  text: text
  label: hostile
  group: null
  test: 0.2
backbones:
- model: minilm
  layers: [1, 3, 5]
  saes: auto
pooling: [max, mean, sum, count, top20]
binarize: [none, 1.0, auto]
baselines: [hidden, tfidf, majority]
"""
