"""How the explanations of the chosen classifier are tested."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from latentprobe.config.fields import Frozen

__all__ = ["ExplainSpec"]


class ExplainSpec(Frozen):
    """How the explanations of the chosen classifier are tested."""

    faithfulness: bool = True
    """Remove the features and the tokens that explanations name, beside random ones, and see what decisions lose."""
    rows: Annotated[int, Field(ge=10, le=10_000)] = 200
    """Test rows it is done on, at most; each goes through the model about seven times."""
