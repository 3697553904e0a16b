"""An explanation as notebooks show it: the text with its tokens marked, and a table of what each feature adds.

It is a list of features in every other respect. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from latentprobe.deploy.decisions import FeatureEvidence
from latentprobe.label_wording import MEANING, worth
from latentprobe.visible import visible

__all__ = ["Explanation"]

# Half-transparent grounds under the notebook's own letters, so that both its light and its dark theme can be read;
# against is dotted besides, for those who see no difference in colour.
_FOR = "background:rgba(0,114,178,.25);border-bottom:2px solid rgb(0,114,178)"
_AGAINST = "background:rgba(213,94,0,.18);border-bottom:2px dotted rgb(213,94,0)"


class Explanation(list[FeatureEvidence]):
    """The features that moved a decision, largest effect first; shows itself in notebooks.

    Args:
        features: of one decision.
        text: what was decided on; None where tokens are no places in a text.

    >>> Explanation([], "<b>")._repr_html_().split("<p")[1]
    ' style="white-space:pre-wrap"><bdi>&lt;b&gt;</bdi></p>'
    """

    def __init__(self, features: Iterable[FeatureEvidence] = (), text: str | None = None) -> None:
        super().__init__(features)
        self.text = text

    def _repr_html_(self) -> str:
        parts = [] if self.text is None else [self._marked(self.text)]
        if self:
            parts.append(self._table())
        return str(Markup("").join(parts))

    def _table(self) -> Markup:
        """What each feature adds; what its label is worth, where any was scored."""
        columns = {
            "adds": [f"{one['contribution']:+.3f}" for one in self],
            "feature": [str(one["feature"]) for one in self],
            "label": [visible(one["label"] or "") for one in self],
            "label score": [worth(one["label_score"]) for one in self],
            "tokens": [visible(_lit(one)) for one in self],
        }
        if not any(columns["label score"]):
            del columns["label score"]
        cell = Markup("<td>{}</td>").format
        rows = Markup("").join(
            Markup("<tr>{}</tr>").format(Markup("").join(map(cell, line)))
            for line in zip(*columns.values(), strict=True)
        )
        head = Markup("").join(Markup('<th scope="col">{}</th>').format(name) for name in columns)
        table = Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(head, rows)
        return (
            table + Markup("<p><small>Label score: {}</small></p>").format(MEANING)
            if "label score" in columns
            else table
        )

    def _marked(self, text: str) -> Markup:
        """The text, each token marked for the strongest feature that it lights."""
        owner: dict[tuple[int, int], FeatureEvidence] = {}
        for one in self:
            for token in one["tokens"]:
                owner.setdefault((token["start"], token["end"]), one)
        parts, at = [], 0
        for start, end in sorted(owner):
            if start < at or end <= start:
                continue
            one = owner[start, end]
            mark = Markup('<span style="{}" title="{} {:+.3f}">{}</span>')
            name = visible(one["label"] or f"feature {one['feature']}")
            style = _FOR if one["contribution"] > 0 else _AGAINST
            parts += [_plain(text[at:start]), mark.format(style, name, one["contribution"], _plain(text[start:end]))]
            at = end
        parts.append(_plain(text[at:]))
        return Markup('<p style="white-space:pre-wrap"><bdi>{}</bdi></p>').format(Markup("").join(parts))


def _plain(text: str) -> Markup:
    """Text with its line breaks, everything else that is invisible shown as a sign."""
    return Markup("\n").join(visible(line) for line in text.replace("\r\n", "\n").split("\n"))


def _lit(feature: FeatureEvidence) -> str:
    return " ".join(dict.fromkeys(token["text"] for token in feature["tokens"]))
