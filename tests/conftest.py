"""Fixtures of all tests: the shared data and models beside the checkout, and no network."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def _shared(folder: str) -> Path:
    path = SHARED / folder
    if not path.is_dir():
        pytest.skip(f"needs the folder shared/{folder} beside the checkout")
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real labelled data sets."""
    return _shared("data")


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder with a tiny real causal language model."""
    return _shared("models")
