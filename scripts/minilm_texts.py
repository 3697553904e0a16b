"""Which texts the bundled MiniLM SAEs are trained on, and which are held out for their figures.

Knows the folders under --data and the rule for leaving rows out. Knows nothing of models or training.
"""

import csv
import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

# The product's own default test split takes the rows with the lowest fifth of this very hash under seed 0. Leaving
# out the lowest 30 % leaves out every row that a default run will later be judged on, with room for a larger test.
HELD_BACK = 0.3

XLMT_LANGUAGES = ("english", "spanish", "german", "french")
GERMEVAL_ROWS = 1500
WIKITEXT_HELD_OUT_WORDS = 30_000
# Kept out whole, so that they stay fair tests of what the SAEs are worth.
LEFT_OUT = ("surge_toxicity", "xstest", "textdetox_paradetox9", "multilingual_hatecheck", "every test part")


@dataclass(frozen=True)
class Source:
    """One data set: its licence and its share of the tokens that a training step draws."""

    name: str
    licence: str
    share: float


# Short customer, social and abusive texts weigh more than their number of tokens: that is what the SAEs are for.
SOURCES = (
    Source("davidson", "MIT", 0.24),
    Source("banking77", "CC-BY-4.0", 0.14),
    Source("openai_moderation", "MIT", 0.15),
    Source("gpteacher_roleplay", "MIT", 0.15),
    Source("wikitext2_small", "CC-BY-SA-3.0", 0.10),
    Source("pubmedqa", "MIT", 0.05),
    Source("xlmt_english", "Apache-2.0 repository, Twitter terms", 0.07),
    Source("xlmt_other", "Apache-2.0 repository, Twitter terms", 0.07),
    Source("germeval2018", "CC-BY-4.0", 0.03),
)


def key(text: str) -> str:
    """Return the text as the split compares it: case and white space do not count."""
    return " ".join(text.casefold().split())


def hash_fraction(text: str) -> float:
    """Return the place of a text in [0, 1) under the product's split with seed 0."""
    digest = hashlib.sha256(f"0:{key(text)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def clean(text: str) -> str:
    """Mask handles and links as the XLM-T data do, undo its literal escapes and WikiText's split marks."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    text = re.sub(r"[\ud800-\udfff]", "", text).replace('\\""', '"').replace('""', '"')
    text = re.sub(r" @([-,.])@ ", r"\1", text).replace("<unk>", "").replace("|LBR|", " ")
    text = re.sub(r"https?:\S*|\bwww\.\S+|\bt\.co/\S+", "http", text)
    text = re.sub(r"(?<![\w])@\w+", "@user", text)
    return " ".join(text.split())


def _csv_column(path: Path, column: str) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield row[column]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")


def _davidson(data: Path) -> Iterator[str]:
    return _csv_column(data / "davidson/labeled_data.csv", "tweet")


def _banking77(data: Path) -> Iterator[str]:
    return _csv_column(data / "banking77/train.csv", "text")


def _openai_moderation(data: Path) -> Iterator[str]:
    with gzip.open(data / "openai_moderation/samples-1680.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["prompt"]


def _gpteacher(data: Path) -> Iterator[str]:
    for row in json.loads((data / "gpteacher_roleplay/roleplay.json").read_text(encoding="utf-8")):
        yield f"{row['instruction']} {row['input']}"
        yield row.get("output") or row.get("response", "")


def _paragraphs(path: Path) -> Iterator[str]:
    return (line for line in _lines(path) if len(line.split()) >= 20)


def _wikitext(data: Path) -> Iterator[str]:
    return _paragraphs(data / "wikitext2_small/valid.txt")


def _pubmedqa(data: Path) -> Iterator[str]:
    test_ids = json.loads((data / "pubmedqa/test_ground_truth.json").read_text(encoding="utf-8"))
    rows = json.loads((data / "pubmedqa/ori_pqal.json").read_text(encoding="utf-8"))
    for identifier, row in rows.items():
        if identifier not in test_ids:
            yield row["QUESTION"]
            yield " ".join(row["CONTEXTS"])


def _xlmt(*languages: str) -> Callable[[Path], Iterator[str]]:
    def read(data: Path) -> Iterator[str]:
        for language in languages:
            yield from _lines(data / "xlmt_sentiment" / language / "train_text.txt")

    return read


def _germeval(data: Path) -> Iterator[str]:
    rows = _lines(data / "germeval2018/germeval2018.training.txt")[:GERMEVAL_ROWS]
    return (row.split("\t")[0] for row in rows)


READERS: dict[str, Callable[[Path], Iterable[str]]] = {
    "davidson": _davidson,
    "banking77": _banking77,
    "openai_moderation": _openai_moderation,
    "gpteacher_roleplay": _gpteacher,
    "wikitext2_small": _wikitext,
    "pubmedqa": _pubmedqa,
    "xlmt_english": _xlmt("english"),
    "xlmt_other": _xlmt(*XLMT_LANGUAGES[1:]),
    "germeval2018": _germeval,
}


def _judged_on(data: Path) -> Iterator[str]:
    """Yield the texts of every test part, held-back rows with them, and of the sets left out whole."""
    yield from _csv_column(data / "banking77/test.csv", "text")
    yield from _csv_column(data / "surge_toxicity/toxicity_en.csv", "text")
    yield from _csv_column(data / "xstest/xstest_prompts.csv", "prompt")
    yield from _lines(data / "wikitext2_small/test.txt")
    for path in sorted((data / "xlmt_sentiment").glob("*/test_text.txt")):
        yield from _lines(path)
    yield from (row.split("\t")[0] for row in _lines(data / "germeval2018/germeval2018.test.txt"))
    for path in sorted((data / "multilingual_hatecheck").glob("*.csv")):
        yield from _csv_column(path, "test_case")
    for rows in (_davidson(data), _openai_moderation(data)):
        yield from (text for text in rows if hash_fraction(text) < HELD_BACK)
    for path in sorted((data / "textdetox_paradetox9").glob("*.parquet")):
        for column in pq.read_table(path).to_pydict().values():
            yield from (str(text) for text in column)


def training_texts(data: Path) -> list[tuple[str, str]]:
    """Return (source, text) in a fixed order, each text once, none of them in any test part."""
    seen = {key(form) for text in _judged_on(data) for form in (text, clean(text))}
    kept = []
    for source in SOURCES:
        for raw in READERS[source.name](data):
            text = clean(raw)
            if not text or key(raw) in seen or key(text) in seen:
                continue
            seen.add(key(text))
            kept.append((source.name, text))
    return kept


def held_out_texts(data: Path) -> list[tuple[str, str]]:
    """Return (source, text) for the published figures: nothing of it is trained on."""
    paragraphs, words = [], 0
    for paragraph in _paragraphs(data / "wikitext2_small/test.txt"):
        words += len(paragraph.split())
        if words > WIKITEXT_HELD_OUT_WORDS:
            break
        paragraphs.append(("wikitext2_small", clean(paragraph)))
    banking = _csv_column(data / "banking77/test.csv", "text")
    tweets = _lines(data / "xlmt_sentiment/english/test_text.txt")
    rows = [("banking77", clean(text)) for text in banking] + [("xlmt_english", clean(text)) for text in tweets]
    return paragraphs + [row for row in rows if row[1]]


def label_texts(data: Path) -> list[tuple[str, str]]:
    """Return (source, text) that labels are judged on: the held-out texts, and of the kinds that abuse is found in
    those that were held back or left out whole. Nothing of it was trained on or labelled from.
    """
    more = [
        ("surge_toxicity", _csv_column(data / "surge_toxicity/toxicity_en.csv", "text")),
        ("xstest", _csv_column(data / "xstest/xstest_prompts.csv", "prompt")),
        ("davidson", (text for text in _davidson(data) if hash_fraction(text) < HELD_BACK)),
        ("openai_moderation", (text for text in _openai_moderation(data) if hash_fraction(text) < HELD_BACK)),
        ("germeval2018", (row.split("\t")[0] for row in _lines(data / "germeval2018/germeval2018.test.txt"))),
        *(
            ("xlmt_other", _lines(data / "xlmt_sentiment" / language / "test_text.txt"))
            for language in XLMT_LANGUAGES[1:]
        ),
    ]
    rows = held_out_texts(data) + [(source, clean(text)) for source, texts in more for text in texts]
    return list({key(text): (source, text) for source, text in rows if text}.values())


def data_table(rows: list[tuple[str, str]], token_text: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return licence, rows, tokens and share of draws for each training source."""
    tokens = np.bincount(token_text, minlength=len(rows))
    names = np.array([source for source, _ in rows])
    return {
        source.name: {
            "licence": source.licence,
            "rows": int((names == source.name).sum()),
            "tokens": int(tokens[names == source.name].sum()),
            "share": source.share,
        }
        for source in SOURCES
    }


def token_weights(rows: list[tuple[str, str]], token_text: np.ndarray) -> np.ndarray:
    """Return each training token's chance to be drawn, so that each source gets its share."""
    table = data_table(rows, token_text)
    of_source = {name: row["share"] / max(1, row["tokens"]) for name, row in table.items()}
    chances: np.ndarray = np.array([of_source[source] for source, _ in rows])[token_text]
    return chances
