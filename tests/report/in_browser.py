"""A page opened from its file in a browser without network, and what went wrong while it was looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Opened:
    page: Any
    requests: list[str] = field(default_factory=list)
    """Addresses it asked for, beyond its own."""
    errors: list[str] = field(default_factory=list)
    """Everything the console complained of, what the policy blocked included, and what scripts threw."""
    dialogs: list[str] = field(default_factory=list)


@contextmanager
def opened(browser: Any, path: Path, **settings: Any) -> Iterator[Opened]:
    """The page of a file, offline; ``settings`` are those of a browser context (viewport, color_scheme, ...)."""
    context = browser.new_context(**({"offline": True, "viewport": {"width": 1280, "height": 900}} | settings))
    context.set_default_timeout(10_000)
    page = context.new_page()
    seen = Opened(page)
    address = path.resolve().as_uri()

    def dismiss(dialog: Any) -> None:
        seen.dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("request", lambda asked: asked.url.split("#")[0] == address or seen.requests.append(asked.url))
    page.on("console", lambda said: said.type in ("error", "warning") and seen.errors.append(said.text))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("dialog", dismiss)
    page.goto(address)
    yield seen
    context.close()


#: Scripts that look at a page and answer with a list of complaints.
STUMBLING, FAINT = ((Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("stumbling.js", "faint.js"))
