"""Write specs/paper/*.yaml: the grid of arXiv 2502.11367, one spec a data set, in our own words for it.

The facts are the paper's and its code's (data sets, models, layers, widths, poolings, seed). Every SAE is looked up in
the registry when this runs, so that a reference that does not exist is never written. With --check, say whether the
files are current.

    python scripts/paper_specs.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from latentprobe.config import BehaviourSpec, TransferSpec, parse_as, parse_spec
from latentprobe.encode.formats import describe

FOLDER = Path(__file__).parent.parent / "specs" / "paper"

#: Backbones: model, release of its SAEs in Gemma Scope, layers, widths.
TEXT_MODELS = (
    ("google/gemma-2-2b", "2b-pt-res", (5, 12, 19), ("16k", "65k", "1m")),
    ("google/gemma-2-9b", "9b-pt-res", (9, 20, 31), ("16k", "131k", "1m")),
    ("google/gemma-2-9b-it", "9b-it-res", (9, 20, 31), ("16k", "131k")),
)
#: The image tokens of PaliGemma 2 through the text SAEs of the model inside it.
IMAGE_MODELS = (("google/paligemma2-3b-pt-224", "2b-pt-res", (5, 12, 19), ("16k", "65k")),)

#: Name -> what the rows are, and the columns.
TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "election": (
        "about 745 questions on elections, 2 classes",
        {"path": "hf:Anthropic/election_questions:test", "text": "question", "label": "label"},
    ),
    "reject": (
        "about 1,240 prompts to answer or to reject",
        {"path": "hf:AIM-Harvard/reject_prompts:train", "text": "text", "label": "label"},
    ),
    "jailbreak": (
        "262 prompts, harmless or jailbreaks",
        {"path": "hf:jackhhao/jailbreak-classification:test", "text": "prompt", "label": "type"},
    ),
    "massive_intent": (
        "about 11,510 requests to an assistant, 60 intents",
        {"path": "hf:willcb/massive-intent:train", "text": "input", "label": "label"},
    ),
    "massive_scenario": (
        "about 11,510 requests to an assistant, 18 scenarios",
        {"path": "hf:willcb/massive-scenario:train", "text": "input", "label": "label"},
    ),
    "banking77": (
        "about 10,003 customer questions, 77 classes",
        {"path": "hf:legacy-datasets/banking77:train", "text": "text", "label": "label"},
    ),
    "stance_abortion": (
        "about 587 tweets, 3 stances",
        {"path": "hf:SetFit/tweet_eval_stance_abortion:train", "text": "text", "label": "label_text"},
    ),
}
IMAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "cifar100": (
        "10,000 small images, 100 classes",
        {"path": "hf:renumics/cifar100-enriched:test", "image": "image", "label": "label"},
    ),
    "indian_food": (
        "about 785 photographs of dishes, 20 classes",
        {"path": "hf:rajistics/indian_food_images:train", "image": "image", "label": "label"},
    ),
    "flowers": (
        "photographs of flowers, 102 classes",
        {"path": "hf:nelorth/oxford-flowers:train", "image": "image", "label": "label"},
    ),
}


#: Name -> what the domains are, language -> reference, and the columns they share.
LANGUAGES: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "toxicity_languages": (
        "5,000 comments in each of five languages, toxic or not",
        {code: f"hf:textdetox/multilingual_toxicity_dataset:{code}" for code in ("en", "es", "de", "ru", "zh")},
        {"text": "text", "label": "toxic"},
    ),
    "sentiment_languages": (
        "870 tweets in each of eight languages, 3 sentiments",
        {
            name: f"hf:cardiffnlp/tweet_sentiment_multilingual:{name}:test"
            for name in ("arabic", "english", "french", "german", "hindi", "italian", "portuguese", "spanish")
        },
        {"text": "text", "label": "label"},
    ),
}
#: Name -> what is asked, and the spec of `latentprobe behaviour` but for its target.
QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "pubmedqa": (
        "questions on biomedical papers, answered yes, no or maybe",
        {
            "data": {
                "path": "hf:qiaojin/PubMedQA:pqa_labeled:train",
                "question": "question",
                "answer": "final_decision",
                "id": "pubid",
            },
            "kind": "choice",
            "answers": {"yes": "yes", "no": "no", "maybe": "maybe"},
            "conditions": {"plain": {"prompt": "Question: {question}\nAnswer:"}},
        },
    ),
    "boolq": (
        "yes-or-no questions, each with a passage",
        {
            "data": {"path": "hf:google/boolq:validation", "question": "question", "answer": "answer"},
            "kind": "choice",
            "answers": {"true": "yes", "false": "no"},
            "conditions": {
                "with": {"context": "passage", "prompt": "{context}\n\nQuestion: {question}?\nAnswer:"},
                "without": {"prompt": "Question: {question}?\nAnswer:"},
            },
        },
    ),
    "piqa": (
        "goals with two ways to reach them",
        {
            "data": {
                "path": "hf:ybisk/piqa:validation",
                "question": "goal",
                "choices": ["sol1", "sol2"],
                "answer": "label",
                "answer_as": "index",
            },
            "kind": "choice",
            "conditions": {"plain": {"prompt": "Question: {question}\nAnswer:"}},
        },
    ),
    "nq_swap": (
        "questions with their context, with one in which the answer is swapped, and without",
        {
            "data": {"path": "hf:pminervini/NQ-Swap:dev", "question": "question", "answer": "org_answer"},
            "kind": "free",
            "grade": "contains",
            "conditions": {
                "without": {"prompt": "Question: {question}?\nAnswer:"},
                "original": {"context": "org_context", "prompt": "{context}\n\nQuestion: {question}?\nAnswer:"},
                "swapped": {
                    "context": "sub_context",
                    "answer": "sub_answer",
                    "prompt": "{context}\n\nQuestion: {question}?\nAnswer:",
                },
            },
        },
    ),
}


def main() -> None:
    """Write the files, or with --check exit 1 where one is missing or not current."""
    wanted = {f"{name}.yaml": spec_file(name, *entry, TEXT_MODELS) for name, entry in TEXTS.items()}
    wanted |= {f"{name}.yaml": spec_file(name, *entry, IMAGE_MODELS) for name, entry in IMAGES.items()}
    wanted |= {f"transfer/{name}.yaml": transfer_file(name, *entry) for name, entry in LANGUAGES.items()}
    wanted |= {f"behaviour/{name}.yaml": behaviour_file(name, *entry) for name, entry in QUESTIONS.items()}
    if "--check" in sys.argv[1:]:
        stale = [name for name, text in wanted.items() if _written(name) != text]
        sys.exit(f"not current: {', '.join(stale)}; run scripts/paper_specs.py" if stale else 0)
    for name, text in wanted.items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text, encoding="utf-8")


def _written(name: str) -> str | None:
    path = FOLDER / name
    return path.read_text(encoding="utf-8") if path.is_file() else None


def spec_file(name: str, rows: str, data: dict[str, Any], models: Any) -> str:
    """The YAML of one spec, checked as `latentprobe run` checks it."""
    images = "image" in data
    spec = {
        "name": f"paper_{name}",
        "data": {**data, "test": 0.2},
        "backbones": [backbone(*model, tokens="image" if images else "content") for model in models],
        "pooling": ["sum", "last", "top20", "top50"],
        "binarize": ["none", 1.0],
        "baselines": ["hidden", "majority"] if images else ["hidden", "tfidf", "length", "majority"],
        "evaluate": {"seed": 42},
    }
    parse_spec(spec)
    return _file(f"{data['path'].removeprefix('hf:')}: {rows}", "run", spec)


def transfer_file(name: str, rows: str, places: dict[str, str], columns: dict[str, str]) -> str:
    """The YAML of a transfer between languages, with the smallest of the models."""
    spec = {
        "name": f"paper_{name}",
        "domains": {domain: {"path": path, **columns} for domain, path in places.items()},
        "backbones": [backbone(*TEXT_MODELS[0], tokens="content")],
        "pooling": ["sum", "last", "top20", "top50"],
        "binarize": ["none", 1.0],
        "baselines": ["hidden", "tfidf", "majority"],
        "evaluate": {"seed": 42},
    }
    parse_as(TransferSpec, spec)
    return _file(rows, "transfer", spec)


def behaviour_file(name: str, rows: str, asked: dict[str, Any]) -> str:
    """The YAML that has the tuned model answer; its table is what the features of all models then predict."""
    spec = {"name": f"paper_{name}", "target": {"model": "google/gemma-2-9b-it", "template": "chat"}, **asked}
    parse_as(BehaviourSpec, spec)
    return _file(rows, "behaviour", spec)


def _file(rows: str, verb: str, spec: dict[str, Any]) -> str:
    """The spec as YAML, under what it is."""
    head = f"# The grid of arXiv 2502.11367 on {rows}.\n"
    made = f"# Written by scripts/paper_specs.py. `latentprobe {verb} FILE --dry-run` says what it takes.\n"
    return head + made + yaml.safe_dump(spec, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)


def backbone(
    model: str, release: str, layers: tuple[int, ...], widths: tuple[str, ...], *, tokens: str
) -> dict[str, Any]:
    """A model with its SAEs of all layers and widths, each known to the registry."""
    references = [
        f"gemma-scope:{release}/layer_{layer}/width_{width}/canonical" for layer in layers for width in widths
    ]
    refused = [reference for reference in references if describe(reference)["refused"]]
    assert not refused, refused
    made: dict[str, Any] = {"model": model, "layers": list(layers), "saes": references, "tokens": tokens}
    # The SAEs of gemma-2-2b on the language model inside PaliGemma 2: asked for, as the paper does.
    return made | ({"accept_model": True} if "paligemma" in model else {})


if __name__ == "__main__":
    main()
