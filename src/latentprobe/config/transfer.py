"""Train here, test there: domains such as languages, sources or modalities, and what is compared across them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from latentprobe.config.backbone import BackboneSpec
from latentprobe.config.data import ColumnTest, DataSpec, FileTest
from latentprobe.config.experiment import EvaluateSpec, ExperimentSpec, ProbeSpec
from latentprobe.config.fields import Binarize, Frozen, Pooling, Selection, Unique

__all__ = ["DomainSpec", "TransferEvaluateSpec", "TransferSpec"]


class DomainSpec(DataSpec):
    """The rows of a domain; keys as under `data` of an experiment, and these."""

    label: str = "label"
    """Column with the label. Every domain has the same classes."""
    test: FileTest | ColumnTest | None = None  # type: ignore[assignment]
    """Where the test part is given, in every domain or in none. Default: every row is tested once, in folds."""
    tokens: Literal["content", "all", "image", "text"] | None = None
    """Tokens of this domain's rows, where they differ from those of the backbone."""
    translated: str | None = None
    """Column with each text translated, into a language that is trained on: tested beside the text as it is."""

    @model_validator(mode="after")
    def _texts_are_translated(self) -> DomainSpec:
        """A translation is one text a row, of a row that is a text."""
        if self.translated is not None and (self.image or self.labels_path or not isinstance(self.text, str)):
            raise ValueError("`translated` goes with one column of texts in a table; leave it out")
        return self


class TransferEvaluateSpec(Frozen):
    """How rows are held out, chosen and scored."""

    outer_folds: Annotated[int, Field(ge=2, le=50)] = 5
    """Folds of all domains together. Each is tested by what was fitted without it, in its own domain and elsewhere."""
    folds: Annotated[int, Field(ge=2, le=50)] = 5
    """Inner folds of each training part; everything that is chosen is chosen on them."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the folds, the probes, the bootstrap and the permutations."""
    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = 1000
    """Resamples of the test rows behind each interval, and permutations behind each null; more are drawn where there
    are so many comparisons that their corrected p could not be small."""
    metric: Literal["macro_f1"] = "macro_f1"
    """What the choice is made by."""


class TransferSpec(Frozen):
    """Train on each domain, test on each: the same rows, folds and choices for SAE features and baselines."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """Short name: letters, digits, dots, dashes and underscores."""
    domains: dict[Annotated[str, Field(min_length=1, max_length=60)], DomainSpec] | None = None
    """Domain -> its rows."""
    data: DomainSpec | None = None
    """In place of `domains`: one source of rows, where a column tells the domain."""
    domain: str | None = None
    """That column."""
    train: Annotated[tuple[str, ...], Field(min_length=1), Unique] | None = None
    """Domains to train on. Default: each of them. All are tested."""
    groups: Literal["shared", "own"] = "shared"
    """`shared`: a group of the same name in two domains is the same one, such as a text and its translation, and stays
    on one side everywhere. `own`: names of groups mean nothing outside their domain."""
    backbones: Annotated[tuple[BackboneSpec, ...], Field(min_length=1)]
    """The models and layers."""
    pooling: Annotated[tuple[Pooling, ...], Field(min_length=1), Unique] = ("max", "mean")
    """From tokens to one row, as in an experiment."""
    binarize: Annotated[tuple[Binarize, ...], Field(min_length=1), Unique] = ("none", "auto")
    """After pooling, as in an experiment."""
    selection: Annotated[tuple[Selection, ...], Field(min_length=1), Unique] = ("all",)
    """Features kept, as in an experiment."""
    baselines: Annotated[tuple[Literal["hidden", "tfidf", "majority", "length"], ...], Field(min_length=1), Unique] = (
        "hidden",
        "tfidf",
        "majority",
    )
    """What SAE features are compared with, on the same rows, tokens and grid."""
    overlap: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Features of a domain that count as chosen, where those of two domains are compared."""
    probe: ProbeSpec = ProbeSpec()
    """The linear model."""
    evaluate: TransferEvaluateSpec = TransferEvaluateSpec()
    """Folds, seed and intervals."""

    @model_validator(mode="after")
    def _domains_are_named_once(self) -> TransferSpec:
        """Domains come from a mapping or from a column, and there are two of them at least."""
        if (self.domains is None) == (self.data is None) or (self.data is None) != (self.domain is None):
            raise ValueError("name the rows of each domain under `domains`, or one `data` with the column `domain`")
        if self.domains is not None and len(self.domains) < 2:
            raise ValueError("transfer needs two domains at least; add one under `domains`")
        if self.domains is not None and len({one.test is None for one in self.domains.values()}) > 1:
            raise ValueError(
                "the test part is given in every domain or in none; add `test`, or leave it out everywhere"
            )
        return self

    def experiment(self, domain: DomainSpec) -> ExperimentSpec:
        """What would be compared on the rows of one domain alone."""
        tokens = {} if domain.tokens is None else {"tokens": domain.tokens}
        return ExperimentSpec(
            name=self.name,
            data=DataSpec(path=domain.path),
            backbones=tuple(backbone.model_copy(update=tokens) for backbone in self.backbones),
            pooling=self.pooling,
            binarize=self.binarize,
            selection=self.selection,
            baselines=self.baselines,
            probe=self.probe,
            evaluate=EvaluateSpec(
                folds=self.evaluate.folds, seed=self.evaluate.seed, bootstrap=self.evaluate.bootstrap
            ),
        )
