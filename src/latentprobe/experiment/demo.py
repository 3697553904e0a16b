"""The demonstration: a whole experiment on what comes with the package. Needs no network and no file of the user's."""

from __future__ import annotations

from pathlib import Path

from latentprobe.config import BackboneSpec, DataSpec, ExperimentSpec

__all__ = ["EXAMPLES", "demo_spec", "messages_path"]

ASSETS = Path(__file__).resolve().parents[1] / "assets" / "demo"

#: Messages that are in none of the files, for the classifier to decide: hostile, angry but civil, a quoted insult.
EXAMPLES = (
    "You must be the dimmest person they could find. Fix my order or I will come and explain it to you in person.",
    "This is the third broken kettle in a row. I am furious, and I would like my money back, please.",
    "Your driver called my mother an idiot at the door. Who do I talk to about that?",
)


def messages_path(language: str = "en") -> Path:
    """The packaged messages in ``en``, ``es``, ``de`` or ``fr``; the same ids in each."""
    return ASSETS / f"messages_{language}.csv"


def demo_spec() -> ExperimentSpec:
    """Is a customer's message hostile? Three layers, four SAEs, three poolings, against all baselines."""
    return ExperimentSpec(
        name="demo",
        data=DataSpec(path=str(messages_path()), text="text", label="hostile", id="id"),
        backbones=(BackboneSpec(model="minilm", layers=(1, 3, 5)),),
        pooling=("max", "mean", "sum"),
        binarize=("none", "auto"),
        baselines=("hidden", "tfidf", "length", "majority"),
    )
