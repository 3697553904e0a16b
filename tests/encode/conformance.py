"""Every SAE family in its exact layout on disk, beside its encode written down in plain numpy from the documentation.

The cases are in ``layouts``. ``python -m tests.encode.conformance`` compares all of them and writes ``docs/saes.md``;
what the families' own libraries give comes from ``results/origins.json``, which ``make origins`` writes.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latentprobe.encode.formats import load_sae
from tests.encode.checkpoints import DTYPES
from tests.encode.layouts.case import Case, arrays
from tests.encode.layouts.dictionary_learning import dictionary_learning_cases
from tests.encode.layouts.gemma_scope import gemma_scope_cases
from tests.encode.layouts.openmoss import llama_scope_cases
from tests.encode.layouts.saelens import saelens_cases
from tests.encode.layouts.single_files import single_file_cases
from tests.encode.layouts.sparsify import sparsify_cases
from tests.encode.layouts.vit_prisma import vit_prisma_cases

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "saes.md"
ORIGINS = ROOT / "results" / "origins.json"

CASES: tuple[Case, ...] = (
    *saelens_cases(),
    *gemma_scope_cases(),
    *sparsify_cases(),
    *dictionary_learning_cases(),
    *llama_scope_cases(),
    *single_file_cases(),
    *vit_prisma_cases(),
)


@dataclass(frozen=True)
class Outcome:
    """How far features are from the documentation's."""

    active: int
    values: float
    """Largest difference of a value, relative to the largest value."""
    support: int
    """Entries that are active on one side only."""
    entries: int
    """Tokens times features."""
    rebuilt: float | None
    """Largest difference of a rebuilt state, relative to the largest."""


def hidden_states(d_in: int) -> torch.Tensor:
    """What every case encodes."""
    return torch.randn(64, d_in, generator=torch.Generator().manual_seed(1)) * 1.5 + 0.2


def compare(case: Case, dtype: str, folder: Path) -> Outcome:
    """Write a case, load it, and hold it against numpy."""
    tensors = {name: tensor.to(DTYPES[dtype]) for name, tensor in case.tensors().items()}
    held = {name: array.astype(np.float64) for name, array in arrays(tensors).items()}
    sae = load_sae(str(case.write(folder, tensors)), decoder=True)
    assert sae.hook.site == case.hook
    x = hidden_states(sae.d_in)
    expected = case.encode(x.double().numpy(), held)
    latents = sae.encode(x)
    z = latents.csr().toarray().astype(np.float64)
    largest_value = np.abs(expected).max()
    both = (z > 0) & (expected > 0)
    either = (z > 0) != (expected > 0)
    rebuilt = None
    if case.decode is not None:
        states = case.decode(expected, held)
        rebuilt = float(np.abs(sae.decode(latents).numpy() - states).max() / np.abs(states).max())
    return Outcome(
        active=int(both.sum()),
        values=float(np.abs(z - expected)[both].max() / largest_value),
        support=int(either.sum()),
        entries=either.size,
        rebuilt=rebuilt,
    )


def without_figures(text: str) -> str:
    """The page without what was measured, which differs a little from machine to machine."""
    return re.sub(r"(?m)^(\|.*\|)[^|]+\|[^|]+\|[^|]+\|$", r"\1", text)


def beside_libraries(rows: Sequence[Mapping[str, Any]], case: Case) -> str:
    """How far a case is from the library that owns its format, over all types: values, support, library."""
    named = (case.family, case.architecture, case.hook)
    own = [row for row in rows if (row["family"], row["architecture"], row["hook"]) == named]
    if not own:
        return "not compared yet"
    own = [row for row in own if row["library"] == own[0]["library"]]
    if any(row["agrees"] is None for row in own):
        return "-"
    values, support = (max(row[figure] for row in own) for figure in ("values", "support"))
    return f"{_figure(values)}, {support:.2g} ({own[0]['library']})"


def library_remarks(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What else is to be said of the libraries: a row a family, library and remark."""
    said: dict[tuple[str, str, str], dict[str, None]] = {}
    for row in rows:
        remark = row.get("says") or row.get("note")
        if row["agrees"] is False:
            remark = f"gives other features: {row['support']:.0%} of the active ones are active on one side only"
        if remark:
            said.setdefault((row["family"], row["library"] or "-", remark), {})[row["architecture"]] = None
    lines = ["| family | architecture | library | |", "|---|---|---|---|"]
    for (family, library, remark), architectures in said.items():
        lines.append(f"| {family} | {'; '.join(architectures)} | {library} | {remark} |")
    return lines


def _versions(libraries: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in libraries.items())


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.0e}" if value else "0"


NOT_GUARANTEED = """\
* Hook points are the output of a block (`resid_post`), the stream between its attention and its MLP (`resid_mid`), what
  its MLP and its attention add to the residual stream (`mlp_out`, `attn_out`), behind the norm that Gemma 2 and 3 and
  OLMo 2 have there, and the heads before their projection (`attn_z`); before all blocks, what enters the first one
  (`resid_pre`) and the token embedding (`embed`). The stream before block L > 0 is read as the output of block L - 1.
  All of them are compared with transformers' own modules for every model family.
* Gemma Scope: its `att` and `attn_out` SAEs read the heads before their projection. SAEs of its embedding were trained
  before the model multiplies that by sqrt(d_model), which is folded, `b_dec` included; SAELens leaves `b_dec` as it is,
  so what it rebuilds differs by a constant, and its features do not.
* Llama Scope: values are in the scale of the hidden states, as its own library's inference form gives them. SAELens
  gives them multiplied by one constant, sqrt(d_model) / mean norm of the training inputs; active features are the same.
* Llama Scope of R1-Distill: SAEs that rank by decoder norms which are not 1 are refused.
* dictionary_learning: values are those of each class's `encode` on the stored weights. Some versions of the library
  also multiply by the decoder's norms, which changes no active feature.
* A BatchTopK SAE whose threshold was never trained (-1) keeps the k largest features of each token.
* ViT-Prisma: files that hold their config as a Python object are refused, because reading them would run code.
* A threshold is compared in float32: a feature within rounding of its threshold may fall on the other side than in
  another library, or in bfloat16.
"""

REFUSED = """\
| what | why |
|---|---|
| transcoders, skip transcoders, cross-coders, cross-layer transcoders | they read one place of a model and rebuild another |
| skip connections (`W_skip`, `affine_skip_connection`) | what they rebuild is not a sum of features |
| temporal SAEs, matching pursuit | features depend on other tokens, or are found by iteration |
| BatchTopK as in training | features depend on the batch; saved for inference it is a JumpReLU SAE |
| an input scale that is nowhere written | features would be wrong by an unknown factor |
| one attention head; a rotated attention | its inputs are not those of the model as published |
| sparsify with `signed: true`, OpenAI with another activation behind TopK | features could be below 0 |
| `resid_mid` where attention and MLP are added together (GPT-NeoX, Falcon) | there is no such state |
| `resid_mid` where the stream is normalized after each addition (BERT and its kin, OPT 350m) | it is two states |
| `embed` where it is normalized with positions, or projected, before the first block (BERT and its kin, ModernBERT, OPT 350m) | libraries take different states by that name |
| outputs of MLPs and attentions in sparsify and dictionary_learning where the model normalizes them first (Gemma 2 and 3, OLMo 2) | the module's output is not what is added |
| `embed_tokens` of a Gemma in sparsify and dictionary_learning | its scale depends on the version of transformers |
| other places: queries, keys, values, patterns, an MLP's input or neurons, positions | not read |
| pickles with code, under any name | reading them would run it |
| a single `.pt` or `.pth` without its published name | nothing tells its hook point |
| the `.pt` files of attn-saes-gpt2-small-all-layers | a format of their own, which is not read |
"""  # noqa: E501


def page() -> str:
    """The page on SAE families, with everything compared anew."""
    with tempfile.TemporaryDirectory() as folder:
        outcomes = [
            (case, dtype, compare(case, dtype, Path(folder) / f"{row}-{dtype}"))
            for row, case in enumerate(CASES)
            for dtype in case.dtypes
        ]
    origins = json.loads(ORIGINS.read_text(encoding="utf-8"))
    lines = [
        "# SAE families",
        "",
        "What is read, and how far its features are from those of two others: the library that owns the format, and",
        "what the family's documentation gives, written down once more in numpy (float64). All encode the same hidden",
        "states with synthetic checkpoints in the exact layout on disk. Written by",
        "`python -m tests.encode.conformance`; a test holds it against the code.",
        "",
        "* **own library**: largest difference of an active feature, relative to the largest one; and the share of",
        "  active features that are active on one side only. A format whose maker has no library on PyPI is held",
        "  against SAELens, which converts it; `-` where that does not read it either. From `make origins`, which has",
        f"  an environment of its own: {origins['made']}, {_versions(origins['libraries'])};",
        "* **values**: the same difference from numpy;",
        "* **support**: features active on one side only, of all features at all tokens;",
        "* **rebuilt**: largest difference of a rebuilt hidden state, relative to the largest; `-` where a row-wise",
        "  operation takes the scale away, which `SAE.reconstruct` brings back.",
        "",
        "## Guaranteed",
        "",
        "| family | architecture | hook point | types | folded | own library | values | support | rebuilt |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        own = [outcome for other, _, outcome in outcomes if other is case]
        rebuilt = [each.rebuilt for each in own if each.rebuilt is not None]
        cells = (
            case.family,
            case.architecture,
            case.hook,
            ", ".join(case.dtypes),
            case.folded,
            beside_libraries(origins["rows"], case),
            _figure(max(each.values for each in own)),
            f"{sum(each.support for each in own)} of {sum(each.entries for each in own):,}",
            _figure(max(rebuilt, default=None)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Of those libraries:", "", *library_remarks(origins["rows"])]
    lines += ["", "## Not guaranteed", "", NOT_GUARANTEED, "## Refused, by name", "", REFUSED]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
