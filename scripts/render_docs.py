"""Write the generated pages and the generated blocks of the others, or say which are out of date.

    python scripts/render_docs.py            write what is out of date
    python scripts/render_docs.py --check    write nothing; exit 1 if anything is out of date

Whole pages: docs/cli.md, docs/spec.md, docs/api.md, docs/results.md, docs/claims.md, docs/lab.md, docs/edit.md. Blocks
markers such as ``<!-- results -->`` and ``<!-- /results -->``: README.md, docs/behaviour.md, docs/labels.md,
docs/faithfulness.md. What depends on results/ is left as it is where those files are missing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from render_behaviour import behaviour_block, read_behaviour
from render_claims import claims_page
from render_edit import edit_page
from render_faithfulness import KEPT, faithfulness_block
from render_lab import lab_page
from render_reference import api_page, behaviour_keys, cli_page, spec_page
from render_results import demo_block, labels_block, read_results, results_block, results_page, saes_block
from render_transfers import matching_part, transfers_part

ROOT = Path(__file__).resolve().parents[1]


def pages() -> dict[Path, str]:
    """Every generated file with the content it should have."""
    written = {"cli.md": cli_page(), "spec.md": spec_page(), "api.md": api_page()}
    behaviour = (ROOT / "docs" / "behaviour.md").read_text(encoding="utf-8")
    told = {"behaviour": behaviour_block(asked)} if (asked := read_behaviour(ROOT / "results")) else {}
    written["behaviour.md"] = with_blocks(behaviour, {"keys": behaviour_keys(), **told})
    if KEPT.is_file():
        page = (ROOT / "docs" / "faithfulness.md").read_text(encoding="utf-8")
        kept = json.loads(KEPT.read_text(encoding="utf-8"))
        written["faithfulness.md"] = with_blocks(page, {"faithfulness": faithfulness_block(kept)})
    blocks = {"saes": saes_block(ROOT / "src" / "latentprobe" / "assets" / "saes")}
    measured, transfers = read_results(ROOT / "results"), read_transfers()
    if measured:
        written["results.md"] = results_page(measured, further_parts(transfers))
        blocks["results"] = results_block(measured)
    scored = ROOT / "results" / "labels.json"
    if scored.is_file():
        page = (ROOT / "docs" / "labels.md").read_text(encoding="utf-8")
        found = labels_block(json.loads(scored.read_text(encoding="utf-8")))
        written["labels.md"] = with_blocks(page, {"labels": found})
    laboratory = ROOT / "results" / "lab.json"
    lab = json.loads(laboratory.read_text(encoding="utf-8")) if laboratory.is_file() else None
    if lab is not None:
        written["lab.md"] = lab_page(lab)
    if measured:
        named = {results["name"]: results for results in measured}
        written["claims.md"] = claims_page(named, transfers, lab)
    edits = ROOT / "results" / "edit.json"
    if edits.is_file():
        written["edit.md"] = edit_page(json.loads(edits.read_text(encoding="utf-8")))
    demo = ROOT / "results" / "demo.txt"
    if demo.is_file():
        blocks["demo"] = demo_block(demo.read_text(encoding="utf-8"))
    readme = ROOT / "README.md"
    return {
        **{ROOT / "docs" / name: text for name, text in written.items()},
        readme: with_blocks(readme.read_text(encoding="utf-8"), blocks),
    }


def read_transfers() -> dict[str, Any]:
    """The measured transfers that are there, by name."""
    paths = sorted((ROOT / "results").glob("transfer_*.json"))
    return {results["name"]: results for path in paths if (results := json.loads(path.read_text(encoding="utf-8")))}


def further_parts(transfers: dict[str, Any]) -> list[str]:
    """What the results page has behind the comparisons."""
    parts = [transfers_part(transfers)] if transfers else []
    matching = ROOT / "results" / "behaviour_matching.json"
    if matching.is_file():
        parts.append(matching_part(json.loads(matching.read_text(encoding="utf-8"))))
    return parts


def with_blocks(text: str, blocks: dict[str, str]) -> str:
    """A page with the content between each pair of markers replaced.

    >>> with_blocks("a\\n<!-- x -->\\nold\\n<!-- /x -->\\nb", {"x": "new\\n"})
    'a\\n<!-- x -->\\nnew\\n<!-- /x -->\\nb'
    """
    for name, content in blocks.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            sys.exit(f"the page needs one pair of markers {begin.strip()} and {end}, each on a line of its own")
        head, _, rest = text.partition(begin)
        text = head + begin + content + end + rest.partition(end)[2]
    return text


def outdated() -> dict[Path, str]:
    """The generated files whose content is not what it should be."""
    return {
        path: text for path, text in pages().items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    }


def main() -> None:
    """Write, or check, and say what was found."""
    late = outdated()
    for path, text in late.items():
        print(f"{path.relative_to(ROOT)} is out of date")
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
    if late and "--check" in sys.argv[1:]:
        sys.exit("run `make docs` and commit what it writes")


if __name__ == "__main__":
    main()
