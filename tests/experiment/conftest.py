"""The tiny random text models of the encode tests."""

from __future__ import annotations

from tests.encode.conftest import tiny_model

__all__ = ["tiny_model"]
