"""Where the labelled rows are and what their columns mean."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from latentprobe.config.fields import ClassNames, Frozen, Unique


class FileTest(Frozen):
    """The test part is a file of its own, with the same columns."""

    path: str
    """File of the test rows."""
    labels_path: str | None = None
    """For a text file with one row a line: the file with one label a line."""


class ColumnTest(Frozen):
    """The test part is marked in a column."""

    column: str
    """Column that tells the parts apart."""
    value: str = "test"
    """Value of that column on test rows; every other row trains."""


class DataSpec(Frozen):
    """Labelled examples: where they are, and which column means what."""

    path: str
    """A CSV, TSV, JSON, JSON Lines (each also .gz), Parquet or text file, `hf:org/name[:config][:split]`, or a folder
    of images with one sub-folder a class."""
    text: str | Annotated[dict[str, str], Field(min_length=2)] = "text"
    """Column with the text; its number from 0 in a file without a header. Or class -> column, where each row holds a
    text of each class: its label is the class, and the row is the group of its texts. Empty where `image` is given."""
    image: str | None = None
    """Column with images, or with their paths relative to the folder of the file: the rows are images, not texts."""
    label: str | Annotated[tuple[str, ...], Field(min_length=2), Unique] = "label"
    """Column with the label; or several columns of 0/1, which make a multi-label task."""
    labels_path: str | None = None
    """For a text file with one row a line: the file with one label a line."""
    classes: ClassNames | None = None
    """Label -> class, where several labels make one class, or sources call one class by different names:
    {0: hateful, 1: hateful, 2: neither}. Names every label there is."""
    group: str | None = None
    """Column whose rows must stay on one side of every split: author, template, pair."""
    by: Annotated[tuple[str, ...], Unique] = ()
    """Columns that say who or what a row is about: each value gets scores of its own, and the gaps between them."""
    id: str | None = None
    """Column with unique row names. Default: the row's number from 0, or its key in a JSON object of objects."""
    positive: str | None = None
    """For two classes, the one that is scored and flagged. Default: the last in sorted order."""
    test: Annotated[float, Field(gt=0, lt=1)] | FileTest | ColumnTest = 0.2
    """Share of rows to test on; or where the given test part is."""
    on_leak: Literal["refuse", "move"] = "refuse"
    """When a text, a near-copy of it or a group is on both sides of a given split: refuse, or move its training copies
    to the test side."""
    near_duplicates: Annotated[float, Field(ge=0.5, le=1)] | None = 0.8
    """Texts with at least this share of their character 5-grams in common (Jaccard) stand on one side of every split;
    null: only copies do."""

    @model_validator(mode="before")
    @classmethod
    def _images_or_texts(cls, values: Any) -> Any:
        """A row is an image or a text."""
        if not isinstance(values, dict) or values.get("image") is None:
            return values
        if values.get("text") or values.get("labels_path"):
            raise ValueError("`image` goes without `text` and `labels_path`")
        return {**values, "text": ""}

    @field_validator("classes")
    @classmethod
    def _classes_are_of_one_column(cls, value: Any, info: ValidationInfo) -> Any:
        """A column of 0 and 1 has no further names, and a mapping of texts has its own."""
        several = isinstance(info.data.get("label"), tuple)
        if value is not None and (several or isinstance(info.data.get("text"), dict)):
            raise ValueError("`classes` goes with one column of labels; leave it out")
        if value is not None and len(set(value.values())) < 2:
            raise ValueError("`classes` has two classes at least")
        return value

    @field_validator("label", "labels_path", "group")
    @classmethod
    def _pairs_are_labelled_and_grouped(cls, value: Any, info: ValidationInfo) -> Any:
        """Columns that are classes leave nothing for other columns to say; a completed spec says `label: label`."""
        if isinstance(info.data.get("text"), dict) and value not in (None, "label"):
            raise ValueError("where `text` maps classes to columns, these are label and group; leave it out")
        return value
