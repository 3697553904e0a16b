"""Make next-word questions from the shared texts: the beginning of a sentence, and four words that may follow it.

    python scripts/make_cloze.py [--data DIR] [--out runs/cloze.jsonl]

In the manner of LAMBADA (Paperno and others 2016, arXiv 1606.06031), which asks for the last word of a passage that is
guessed from the whole of it and hardly from its last sentence; here the word stands anywhere in its sentence, and three
others of the same text, about as long, stand beside it to be chosen from. Knows nothing of models.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from minilm_texts import HELD_BACK, clean, hash_fraction

ROOT = Path(__file__).resolve().parents[1]
SEED = 0
#: Questions at most of each text.
OF_A_TEXT = 4
#: Words of the other choices beside the right one.
OTHERS = 3
#: Words of a sentence before the one asked for, and of the whole prompt at most.
BEFORE, LONGEST = 4, 80
#: What can be asked for: a word in small letters, of two or more.
WORD = re.compile(r"[a-z]{2,12}")


class Text(NamedTuple):
    """A text to ask about: one answer of a role play, or one paragraph of an article."""

    source: str
    group: str
    """Texts of one group stay on one side of a split: an article, or the text itself."""
    text: str


def roleplay_texts(data: Path) -> Iterator[Text]:
    """The answers that the split's own rule holds back from whoever trains on the rest."""
    rows = json.loads((data / "gpteacher_roleplay" / "roleplay.json").read_text(encoding="utf-8"))
    for number, row in enumerate(rows):
        if is_asked(row["output"]):
            yield Text("gpteacher_roleplay", f"roleplay {number}", row["output"])


def is_asked(text: str) -> bool:
    """Whether questions may be made of an answer of the role plays; no SAE of the target is trained on it then."""
    return hash_fraction(text) < HELD_BACK


def wikitext_texts(data: Path) -> Iterator[Text]:
    """The paragraphs of WikiText's test part, with the number of their article."""
    article = 0
    for line in (data / "wikitext2_small" / "test.txt").read_text(encoding="utf-8").split("\n"):
        if re.fullmatch(r" = [^=].*[^=] = ", line):
            article += 1
        elif len(line.split()) >= 20:
            yield Text("wikitext2_small", f"article {article}", as_written(line))


def as_written(line: str) -> str:
    """A line of WikiText without the blanks that it has around signs.

    >>> as_written("In 2000 , Robert 's play ( a 10 @-@ minute one ) was seen .")
    "In 2000, Robert's play (a 10-minute one) was seen."
    """
    line = re.sub(r" @([-,.])@ ", r"\1", " ".join(line.split()))
    line = re.sub(r" (n't|'[a-z]+\b|[.,;:!?)\]%])", r"\1", line)
    return re.sub(r"([(\[$]) ", r"\1", line)


def questions_of(text: Text, seed: int) -> Iterator[dict[str, Any]]:
    """Some questions about a text, each of another sentence; the same for the same text and seed."""
    chance = random.Random(f"{seed}:{text.text}")
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(text.text.split()))
    pool = sorted(set(re.findall(rf"\b{WORD.pattern}\b", text.text)))
    places = [
        (number, place)
        for number, sentence in enumerate(sentences)
        for place in range(BEFORE, len(sentence.split(" ")))
        if number
    ]
    chance.shuffle(places)
    used: set[int] = set()
    for number, place in places:
        words = sentences[number].split(" ")
        context, word = sentences[number - 1], words[place].rstrip(".,;:!?")
        if number in used or not WORD.fullmatch(word) or "<unk>" in f"{context} {sentences[number]}":
            continue
        within = set(re.findall(r"[a-z]+", sentences[number].lower()))
        others = [other for other in pool if other not in within and abs(len(other) - len(word)) <= 1]
        if len(others) < OTHERS or len(context.split()) + place > LONGEST:
            continue
        used.add(number)
        choices = [word, *chance.sample(others, OTHERS)]
        chance.shuffle(choices)
        yield {
            "source": text.source,
            "group": text.group,
            "context": clean(context),
            "question": clean(" ".join(words[:place])),
            "choices": choices,
            "answer": word,
        }
        if len(used) == OF_A_TEXT:
            return


def cloze_rows(data: Path) -> list[dict[str, Any]]:
    """All questions, with ids."""
    texts = (*roleplay_texts(data), *wikitext_texts(data))
    rows = (row for text in texts for row in questions_of(text, SEED))
    return [{"id": f"cloze {number}", **row} for number, row in enumerate(rows)]


def main() -> None:
    """Read the command line and write the questions."""
    parser = argparse.ArgumentParser(description="Make next-word questions from the shared texts.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder with the data sets")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "cloze.jsonl", help="the file to write")
    arguments = parser.parse_args()
    rows = cloze_rows(arguments.data)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    arguments.out.write_text("".join(lines), encoding="utf-8")
    print(f"{arguments.out}: {len(rows)} questions from {len({row['group'] for row in rows})} groups of texts")


if __name__ == "__main__":
    main()
