"""The claims: what is said, worlds where it should hold and worlds where it should fail, and what is compared.

Each world is planted to be a case of its kind; the figures say whether the project's own code can tell them apart.
Settings not named are those of ``World``. Knows nothing of how anything is computed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from latentprobe.experiment.lab.measures import Chosen, Compared, Found, Measure, Transferred
from latentprobe.experiment.lab.table import Arm
from latentprobe.experiment.lab.verdicts import LEVEL
from latentprobe.experiment.lab.world import World

__all__ = ["CLAIMS", "Case", "Claim"]

#: Macro F1 of a coin on two classes of one size.
COIN = 0.5


@dataclass(frozen=True)
class Case:
    """A world, and what is planted in it."""

    when: str
    """In words that go after "when"."""
    world: World
    planted: bool | None
    """Whether the claim should hold in it; None: in between, shown to see where it turns."""


@dataclass(frozen=True)
class Claim:
    """A claim and how it is put to the test."""

    question: str
    """What is asked."""
    said: str
    """Who says what."""
    measure: Measure
    """Figures of one world."""
    better: str
    """The figure that should be larger."""
    than: str | float
    """The figure, or number, that it should be larger than."""
    cases: tuple[Case, ...]
    """Worlds; at least one where it should hold and one where it should fail."""
    lesson: str
    """What to do about it, in one sentence; true as long as every case comes out as planted."""
    rows: int = 600
    """Rows of a world, half of them to test on."""
    level: float = LEVEL
    """How near to none is none."""


def _poolings(*names: str) -> tuple[Arm, ...]:
    return tuple(Arm(name, name) for name in names)


# How tokens become a row.

_POOLING = Claim(
    "Does max beat the sum over tokens?",
    "The paper recommends the (binarized) sum; Tillman and Mossing (2025) max-pool.",
    Compared(_poolings("max", "sum", "mean", "count", "last")),
    "max",
    "sum",
    (
        Case("one loud token decides, 6 times the usual magnitude", World("burst", effect=6, tokens=40), True),
        Case("one token decides, 4 times the usual magnitude", World("burst", effect=4, tokens=40), None),
        Case("weak evidence lies in all tokens", World("rate", effect=0.2, causal_rate=0.3, tokens=40), False),
    ),
    "Take max where one token can decide, sum or mean where many do; no single default serves both.",
)

_DILUTION = Claim(
    "Does a rolling maximum beat the mean?",
    "Mean pooling fails on long contexts, and a rolling maximum repairs it (arXiv 2601.11516).",
    Compared(_poolings("rollmax5", "mean", "max")),
    "rollmax5",
    "mean",
    (
        Case("five tokens of about 90 decide", World("burst", effect=2, span=5, tokens=90), True),
        Case("five tokens of about 30 decide", World("burst", effect=2, span=5, tokens=30), None),
        Case("five tokens of about 10 decide", World("burst", effect=2, span=5, tokens=10), False),
    ),
    "On long texts with local evidence use rollmax{K}: the mean is diluted, and max alone hears every loud token.",
    rows=400,
)

#: Evidence speaks for one class only, so that a long text of the other has as much of it.
_ONE_SIDED = World("rate", effect=0.25, causal_rate=0.2, tokens=30, spread=0.0, sides=1)

_LENGTH = Claim(
    "Does length mislead the sum, and not the mean?",
    "The paper sums. Sum and count grow with the length of a text, and max does, slowly; mean and rate do not.",
    Compared(_poolings("mean", "sum", "rate", "count", "max")),
    "mean",
    "sum",
    (
        Case("lengths differ widely, for no reason", replace(_ONE_SIDED, spread=1.2), True),
        Case(
            "one class is a fifth longer in training, and shorter in use",
            replace(_ONE_SIDED, spread=0.2, length_gap=0.2),
            True,
        ),
        Case("lengths differ a little, for no reason", replace(_ONE_SIDED, spread=0.2), None),
        Case("all texts are of one length", _ONE_SIDED, False),
    ),
    "Where length is not part of the question use mean or rate; with sum or count, look at the length baseline.",
)

_TOP_N = Claim(
    "Does counting the N largest features of each token beat the sum?",
    "The paper: token-level top-N can win on single tasks.",
    Compared(_poolings("top2", "sum", "max", "count", "top5")),
    "top2",
    "sum",
    (
        Case(
            "tokens differ in gain, and rank within the token tells",
            World("size", effect=0.5, gain=1.0, causal_rate=0.1),
            True,
        ),
        Case("tokens are alike in gain, and rank tells", World("size", effect=0.5, causal_rate=0.1), None),
        Case("the causal features are quiet", World("rate", loudness=0.5, tail=0.2, causal_rate=0.1), False),
    ),
    "top{N} is for tokens of different gain; it is blind to features that are never among the largest.",
)

_BINARIZATION = Claim(
    "Does binarization help?",
    "The paper: it keeps or improves F1, and can stand in for feature selection.",
    Compared(
        (
            Arm("auto", binarize="auto"),
            Arm("none"),
            Arm("above 1.0", binarize=1.0),
            Arm("none, best 16 features", selection="top16"),
        )
    ),
    "auto",
    "none",
    (
        Case(
            "magnitudes are heavy-tailed, and presence tells",
            World("rate", effect=1.0, tail=1.5, active=3, causal_rate=0.1, tokens=8, d=192),
            True,
        ),
        Case(
            "magnitudes vary little, and presence tells",
            World("rate", effect=1.0, tail=0.4, active=3, causal_rate=0.1, tokens=8, d=192),
            None,
        ),
        Case(
            "magnitude tells, and presence does not",
            World("size", effect=0.2, tail=0.2, active=4, causal_rate=0.1, tokens=12),
            False,
        ),
    ),
    "Binarize where presence tells and values are heavy-tailed; never where the size of a value is the message.",
)

# Where the features are taken.

_SENSES = World(features=64, senses=4, tail=0.2, active=3)

_WIDTH = Claim(
    "Does a wider SAE do better, that splits each feature by its sense?",
    "The paper: wider SAEs do worse with whole-dictionary binarization, and better with top-N.",
    Compared(
        tuple(
            Arm(f"{kind}{what}", pooling, kind, binarize)
            for pooling, binarize, what in (
                ("sum", "none", ""),
                ("sum", 1.0, ", binarized"),
                ("top5", "none", ", top5"),
            )
            for kind in ("wide", "true", "narrow")
        )
    ),
    "wide",
    "true",
    (
        Case(
            "the class is in the senses of features",
            replace(_SENSES, evidence="sense", effect=0.3, causal_rate=0.1),
            True,
        ),
        Case(
            "the class is in the features, and their senses are rare",
            replace(_SENSES, effect=0.8, causal_rate=0.04, tokens=10),
            False,
        ),
    ),
    "Width helps where it splits what the classes need split; elsewhere it spreads the same evidence over rarer "
    "features, and neither binarization nor top-N changes that.",
    rows=400,
)

_LAYERS = Claim(
    "Do middle layers do best?",
    "The paper: middle layers do best.",
    Compared(
        tuple(Arm(f"layer {layer}", "mean", layer=layer) for layer in range(5)),
        {"best of the ends": ("layer 0", "layer 4")},
    ),
    "layer 2",
    "best of the ends",
    (
        Case("the evidence grows, then fades", World(depth=(0.2, 0.6, 1.0, 0.6, 0.2), effect=0.6), True),
        Case("it is the same everywhere", World(depth=(1.0,) * 5, effect=0.6), False),
        Case("it grows up to the last layer", World(depth=(0.2, 0.4, 0.6, 0.8, 1.0), effect=0.6), False),
    ),
    "Which layer does best follows where the evidence is: try early, middle and late ones, and let inner folds choose.",
    rows=400,
)

_OUTLIERS = Claim(
    "Does leaving out tokens by their norm repair attention sinks?",
    "Sinks have many times the norm of other tokens (Sun and others 2024); the paper's code pooled BOS and padding.",
    Compared(
        tuple(
            Arm(f"{pooling}{words}", pooling, max_norm_ratio=ratio)
            for pooling in ("max", "mean")
            for ratio, words in ((5.0, " without sinks"), (None, ""))
        )
    ),
    "max without sinks",
    "max",
    (
        Case("a text has one sink on average", World(effect=0.6, sinks=1.0), True),
        Case("there are no sinks", World(effect=0.6), False),
    ),
    "Set max_norm_ratio where a model has sinks: it costs nothing where there are none.",
)

# What the features are compared with.

_HIDDEN = (Arm("hidden mean", "mean", None), Arm("hidden max", "max", None))
#: One loud token as before, among more features that mean nothing.
_SPARSE = World("burst", effect=5, tokens=40, active=8)
#: A direction that is in no dictionary, too short to lift a feature above its threshold.
_OUTSIDE = World("shift", effect=0.3)

_STATES = Claim(
    "Do SAE features beat hidden states?",
    "The paper: they do. Kantamneni, Engels and others (2025): not consistently.",
    Compared(
        (Arm("SAE max"), Arm("SAE mean", "mean"), *_HIDDEN), {"best hidden states": tuple(arm.name for arm in _HIDDEN)}
    ),
    "SAE max",
    "best hidden states",
    (
        Case("few features tell, once in a text", _SPARSE, True),
        Case("a direction outside of the dictionary tells", _OUTSIDE, False),
    ),
    "SAE features are ahead on what is sparse and in their dictionary, and miss what is not in it: keep the hidden "
    "states in every comparison.",
)

_RANDOM_ARMS = (Arm("random max", "max", "random"), Arm("random mean", "mean", "random"))

_RANDOM = Claim(
    "Does a trained dictionary beat a random one?",
    "A randomly initialised SAE of the same width and sparsity is the baseline that tells what training brought.",
    Compared(
        (Arm("SAE max"), Arm("SAE mean", "mean"), *_RANDOM_ARMS),
        {"best SAE": ("SAE max", "SAE mean"), "best random SAE": tuple(arm.name for arm in _RANDOM_ARMS)},
    ),
    "best SAE",
    "best random SAE",
    (
        Case("few features tell, once in a text", _SPARSE, True),
        Case("a direction outside of the dictionary tells", _OUTSIDE, False),
    ),
    "A random SAE comes close where loud tokens stand out in any direction, and is ahead where the dictionary misses "
    "the signal: keep it in the comparison.",
)

# What can be trusted.

_NOISE = Claim(
    "Is a signal found only where there is one?",
    "The paper chose the best of dozens of settings on test rows.",
    Chosen(
        (
            *(
                Arm(f"{pooling} {binarize} {selection}", pooling, binarize=binarize, selection=selection)
                for pooling in ("max", "sum", "count")
                for binarize in ("none", "auto")
                for selection in ("all", "top16")
            ),
            *_HIDDEN,
        )
    ),
    "chosen on inner folds",
    COIN,
    (
        Case("features follow the labels", World("rate", effect=0.5), True),
        Case("labels are coin tosses", World("none"), False),
    ),
    "Report the setting that inner folds choose: the best one on test finds something in coin tosses.",
    rows=1000,
)

_SELECTION = Claim(
    "Does selection find the causal features?",
    "The known truth itself: no data set has it.",
    Found("mean"),
    "precision of top8",
    "by chance",
    (
        Case("features follow the labels", World("rate", effect=0.8), True),
        Case("they follow them less", World("rate", effect=0.4), None),
        Case("labels are coin tosses", World("none"), False),
    ),
    "Ranking by standardized mean difference finds the causal features; L1 keeps them too, with many that are not.",
    level=0.1,  # one feature of eight is more than that
)

_TRANSFER = Claim(
    "Do features carry over to another language?",
    "The paper: zero-shot transfer is viable; top-20 features of two languages overlap by .06 to .26.",
    Transferred("mean"),
    "abroad",
    COIN,
    (
        Case("the languages share their causal features", World("rate", effect=0.8, languages=2), True),
        Case("they share half of them", World("rate", effect=0.8, languages=2, shared=0.5), None),
        Case("each has causal features of its own", World("rate", effect=0.8, languages=2, shared=0.0), False),
    ),
    "Features carry over as far as their meaning is shared, and so do hidden states; the overlap of the chosen "
    "features tells how far that is.",
    rows=1000,
    level=0.1,  # abroad a probe also errs to one side, which takes a coin's macro F1 below one half
)

CLAIMS: dict[str, Claim] = {
    "pooling": _POOLING,
    "dilution": _DILUTION,
    "length": _LENGTH,
    "top-n": _TOP_N,
    "binarization": _BINARIZATION,
    "width": _WIDTH,
    "layers": _LAYERS,
    "outliers": _OUTLIERS,
    "hidden": _STATES,
    "random": _RANDOM,
    "noise": _NOISE,
    "selection": _SELECTION,
    "transfer": _TRANSFER,
}
"""By the name the command line takes, in the order of the page."""
