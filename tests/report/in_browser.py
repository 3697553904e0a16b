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


#: What a person with a screen reader or without a mouse stumbles over, as a list of sentences. Looks at what is shown.
STUMBLING = """() => {
  const found = [];
  const shown = (part) => part.checkVisibility({ visibilityProperty: true });
  const where = (part) => part.outerHTML.slice(0, 90);
  const named = (part) => (part.getAttribute("aria-label") || part.getAttribute("title")
    || (part.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)?.textContent || "").join("")
    || Array.from(part.labels || []).map((label) => label.textContent).join("")
    || part.querySelector(":scope > title")?.textContent || part.textContent).trim();
  const ids = Array.from(document.querySelectorAll("[id]")).map((part) => part.id);
  for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) found.push(`id twice: ${id}`);
  for (const part of document.querySelectorAll("a[href], button, input, select, textarea, summary, [role=img], [role=region], [role=listbox], [tabindex='0']")) {
    if (shown(part) && !named(part)) found.push(`no name: ${where(part)}`);
  }
  for (const link of document.querySelectorAll("a[href^='#']")) {
    if (!document.getElementById(decodeURIComponent(link.hash.slice(1)))) found.push(`leads nowhere: ${where(link)}`);
  }
  for (const part of document.querySelectorAll("[tabindex]")) if (part.tabIndex > 0) found.push(`order forced: ${where(part)}`);
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) found.push(`heading ${own} after ${level}: ${where(heading)}`);
    level = own;
  }
  if (document.querySelectorAll("h1").length !== 1) found.push("not exactly one h1");
  if (document.querySelectorAll("main").length !== 1) found.push("not exactly one main");
  if (!document.documentElement.lang) found.push("no language");
  for (const head of document.querySelectorAll("thead th")) if (!head.scope) found.push(`head without scope: ${where(head)}`);
  return found;
}"""

#: Texts that stand out too little from their ground (WCAG AA: 4.5, large ones 3), as sentences.
FAINT = """() => {
  const rgba = (text) => {
    const canvas = rgba.canvas ||= Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const ground = (part) => {
    const layers = [];
    for (let at = part; at; at = at.parentElement) {
      const own = rgba(getComputedStyle(at).backgroundColor);
      if (own[3] > 0) layers.push(own);
      if (own[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const bright = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = new Set();
  for (const part of document.querySelectorAll("body *")) {
    const own = Array.from(part.childNodes).some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || part.closest("svg, script, style, .unseen, .skip") || !part.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(part), below = ground(part), ink = rgba(style.color);
    ink[3] *= Number(style.opacity);
    const [high, low] = [bright(over(ink, below)), bright(below)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.add(`${ratio.toFixed(2)} ${part.tagName}.${part.className} ${part.textContent.trim().slice(0, 40)}`);
  }
  return Array.from(found);
}"""
