"""The reference pages as Markdown: the command line, the spec and the Python door, read from the program itself.

Knows nothing of files: `render_docs.py` writes what this returns.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args, get_type_hints

import typer
import yaml
from pydantic import BaseModel
from typer.models import ArgumentInfo, OptionInfo

import latentprobe
from latentprobe.cli.main import app
from latentprobe.config import BehaviourSpec, ExperimentSpec, MatchingSpec, TransferSpec, parse_spec

__all__ = ["api_page", "behaviour_keys", "cli_page", "example_spec", "spec_page", "table"]

WRITTEN = "<!-- Written by scripts/render_docs.py: change the source, then `make docs`. -->\n"

CLI_INTRO = """# The command line

    latentprobe VERB [ARGUMENTS] [OPTIONS]

Results go to stdout; progress and notes go to stderr, as a bar on a terminal and as quiet lines otherwise.
Exit status: 0 done; 2 the input is wrong, with one message that says what was expected, what came and what to do;
1 a bug or the machine failed. An interrupted command goes on from what was finished when it is given again.

Where no `--store` is named, features are kept in the folder `$LATENTPROBE_STORE`, else in `latentprobe/features`
of the user's cache.
"""

SPEC_INTRO = """# The spec of an experiment

`latentprobe run SPEC.yaml` reads one YAML file. Unknown keys and values out of range are refused before anything is
computed. File names in it are relative to the file's own folder. Every run leaves `spec.yaml` behind, completed with
all defaults.

Only three things must be said:
"""

#: The shortest spec; the complete example below is this one with every default written out.
SHORTEST = """name: toxicity
data: {path: toxicity_en.csv, label: is_toxic}
backbones: [{layers: [1, 3, 5]}]
"""

#: Parts of the spec of questions, and of a matching, in the order of their page.
BEHAVIOUR_PARTS = {
    "BehaviourSpec": "The whole file.",
    "TargetSpec": "Under `target`.",
    "QuestionSpec": "Under `data`.",
    "ConditionSpec": "One of `conditions`.",
    "MatchingSpec": "The whole file of a matching, for `latentprobe transfer`; its parts are those of "
    "[an experiment](spec.md).",
}

API_INTRO = """# Python

Everything public can be imported from `latentprobe`, and is loaded when it is first used. Rooms behind the door
(`latentprobe.corpus`, `latentprobe.encode` and the others) are open to the curious and may change.
"""

TYPE_NAMES = {str: "TEXT", int: "NUMBER", float: "NUMBER", bool: "flag"}

#: Parts of an experiment in the order of the page, under the key where they stand in the YAML file.
PARTS = {
    "ExperimentSpec": "The whole file.",
    "DataSpec": "Under `data`.",
    "FileTest": "Under `data.test`, where the test part is a file.",
    "ColumnTest": "Under `data.test`, where a column marks the test part.",
    "BackboneSpec": "One of `backbones`.",
    "ProbeSpec": "Under `probe`.",
    "ExplainSpec": "Under `explain`.",
    "TaskSpec": "Under `task`.",
    "EvaluateSpec": "Under `evaluate`.",
    "RegimesSpec": "Under `regimes`.",
    "ShiftSpec": "Under `regimes.shift`.",
}

#: Parts of a transfer that an experiment does not have.
TRANSFER_PARTS = {
    "TransferSpec": "The whole file, for `latentprobe transfer`.",
    "DomainSpec": "One of `domains`, or `data`.",
    "TransferEvaluateSpec": "Under `evaluate` of a transfer.",
}

TRANSFER_INTRO = """# The spec of a transfer

`latentprobe transfer SPEC.yaml` reads one YAML file under the same rules. Parts not listed here are those of an
experiment. [transfer.md](transfer.md) says what is done with them.
"""


def table(heads: list[str], rows: list[list[str]], *, right: tuple[int, ...] = ()) -> str:
    """A Markdown table; the columns numbered in ``right`` are set to the right."""
    rules = ["---:" if column in right else "---" for column in range(len(heads))]
    lines = [heads, rules, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def cli_page() -> str:
    """docs/cli.md: every verb with its help, arguments, options and defaults."""
    verbs = list(_verbs(app, "latentprobe"))
    contents = [[f"[`{name}`](#{name.replace(' ', '-')})", _paragraphs(call)[0]] for name, call in verbs]
    parts = [WRITTEN + CLI_INTRO, table(["verb", "what it does"], contents)]
    return "\n".join([*parts, *(_verb(name, call) for name, call in verbs)])


def _verbs(group: typer.Typer, path: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """(full name, function) of each verb of a typer app and of the groups in it."""
    for command in group.registered_commands:
        assert command.callback is not None
        yield f"{path} {command.name or command.callback.__name__}", command.callback
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from _verbs(inner.typer_instance, f"{path} {inner.name}")


def _paragraphs(call: Callable[..., Any]) -> list[str]:
    """The paragraphs of a docstring, each on one line."""
    return [" ".join(part.split()) for part in (inspect.getdoc(call) or "").split("\n\n")]


def _verb(name: str, call: Callable[..., Any]) -> str:
    """One verb: usage, help, and a table of what it takes."""
    hints = get_type_hints(call, include_extras=True)
    usage, rows = [name], []
    for key, parameter in inspect.signature(call).parameters.items():
        plain, info = get_args(hints[key])
        needed = parameter.default is inspect.Parameter.empty
        shown = _argument(key, info) if isinstance(info, ArgumentInfo) else _option(key, info, plain)
        if needed or isinstance(info, ArgumentInfo):
            usage.append(shown)
        rows.append([f"`{shown}`", "needed" if needed else _default(parameter.default), info.help or ""])
    if any(not isinstance(get_args(hints[key])[1], ArgumentInfo) for key in inspect.signature(call).parameters):
        usage.append("[OPTIONS]")
    text = "\n\n".join(_paragraphs(call))
    return f"## {name}\n\n    {' '.join(usage)}\n\n{text}\n\n{table(['', 'default', ''], rows)}"


def _argument(key: str, info: ArgumentInfo) -> str:
    return info.metavar or key.upper()


def _option(key: str, info: OptionInfo, plain: Any) -> str:
    """An option as it is typed: its name, and what follows it."""
    # Inside Annotated, typer takes the first name for a default; that is how they come back here.
    named = [name for name in (info.default, *(info.param_decls or ())) if isinstance(name, str)]
    name = named[0] if named else "--" + key.replace("_", "-")
    kinds = [kind for kind in get_args(plain) or (plain,) if kind is not type(None)]
    kind = TYPE_NAMES.get(kinds[0], "PATH")
    return name if kind == "flag" else f"{name} {info.metavar or kind}"


def _default(value: Any) -> str:
    if value is None or value is False:
        return ""
    return ", ".join(f"`{item}`" for item in value) if isinstance(value, list) else f"`{value}`"


def spec_page() -> str:
    """docs/spec.md: every field of a spec, and an example with all of them."""
    schema = ExperimentSpec.model_json_schema()
    models = {"ExperimentSpec": schema, **schema["$defs"]}
    assert set(models) == set(PARTS), "every part of a spec has its place on the page"
    tables = [_part(name, models[name], where) for name, where in PARTS.items()]
    shortest = f"```yaml\n{SHORTEST}```\n"
    whole = f"## A complete example\n\nThe same experiment with everything said.\n\n```yaml\n{example_spec()}```\n"
    transfer = TransferSpec.model_json_schema()
    more = {"TransferSpec": transfer, **transfer["$defs"]}
    assert set(more) - set(PARTS) == set(TRANSFER_PARTS), "every part of a transfer has its place on the page"
    tables_of_transfer = [_part(name, more[name], TRANSFER_PARTS[name]) for name in TRANSFER_PARTS]
    return "\n".join([WRITTEN + SPEC_INTRO, shortest, *tables, whole, TRANSFER_INTRO, *tables_of_transfer])


def behaviour_keys() -> str:
    """The block of docs/behaviour.md with every field of its specs."""
    schema = BehaviourSpec.model_json_schema()
    models = {"BehaviourSpec": schema, **schema["$defs"], "MatchingSpec": MatchingSpec.model_json_schema()}
    return "\n".join(_part(name, models[name], where) for name, where in BEHAVIOUR_PARTS.items())


def _line(text: str | None) -> str:
    """A documentation string as one line, as tables and comments need it."""
    return " ".join((text or "").split())


def _part(name: str, schema: Mapping[str, Any], where: str) -> str:
    """One mapping of a spec as a table of its keys."""
    needed = schema.get("required", [])
    rows = [
        [f"`{key}`", _kind(field), "needed" if key in needed else _yaml_default(field), _line(field["description"])]
        for key, field in schema["properties"].items()
    ]
    what = f"{where} {schema['description']}"
    return f"## {name}\n\n{what}\n\n{table(['key', 'value', 'default', ''], rows)}"


def _yaml_default(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    if isinstance(value, dict):
        return "its own defaults"
    return f"`{_flow(value)}`"


def _kind(schema: Mapping[str, Any], *, many: bool = False) -> str:
    """What a JSON schema allows, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        page = "spec.md" * (name not in BEHAVIOUR_PARTS and name not in PARTS)
        return f"[{name}]({page}#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(one, many=many) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        return f"list of {_kind(schema['items'], many=True)}"
    if schema["type"] == "object":
        return f"mapping to {_kind(schema['additionalProperties'], many=True)}"
    if schema["type"] == "boolean":
        return "`true` or `false`"
    words = {"string": "text", "integer": "whole number", "number": "number"}
    return words[schema["type"]] + "s" * many + _range(schema)


def _range(schema: Mapping[str, Any]) -> str:
    bounds = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    return "".join(f" {word} {schema[bound]:,}" for bound, word in bounds.items() if bound in schema)


def example_spec() -> str:
    """A spec with every key and its documentation as a comment; it parses to what `SHORTEST` parses to."""
    return "".join(_commented(parse_spec(yaml.safe_load(SHORTEST)), indent=""))


def _commented(model: BaseModel, indent: str) -> Iterator[str]:
    """The lines of a model as YAML."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        comment = f"{indent}# {_line(field.description)}\n"
        if isinstance(value, BaseModel):
            yield f"{comment}{indent}{name}:\n"
            yield from _commented(value, indent + "  ")
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            yield f"{comment}{indent}{name}:\n"
            for item in value:
                lines = "".join(_commented(item, indent + "    "))
                yield f"{indent}  -\n{lines}"
        else:
            yield f"{comment}{indent}{name}: {_flow(list(value) if isinstance(value, tuple) else value)}\n"


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    return str(yaml.safe_dump(value, default_flow_style=True, width=1000)).removesuffix("\n...\n").strip()


def api_page() -> str:
    """docs/api.md: the names behind the door, with their own words."""
    parts = [WRITTEN + API_INTRO]
    for name in latentprobe.__all__:
        value = getattr(latentprobe, name)
        if not name.startswith("_") and callable(value):
            parts.append(f"## {name}\n\n{_documented(name, value)}")
            parts += [f"### {name}.{method}\n\n{_documented(method, call)}" for method, call in _methods(value)]
    return "\n".join(parts)


def _methods(value: Any) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that a class of ours defines itself."""
    if not inspect.isclass(value) or issubclass(value, BaseModel | Exception):
        return
    for name, member in vars(value).items():
        if not name.startswith("_") and (callable(member) or isinstance(member, property | classmethod)):
            yield name, member


def _documented(name: str, value: Any) -> str:
    """Signature and docstring as they are in the code."""
    if isinstance(value, property):
        return f"```text\n{name}\n\n{inspect.getdoc(value)}\n```\n"
    call = value.__func__ if isinstance(value, classmethod) else value
    # Of an error, the signature says nothing its docstring does not; of a spec, docs/spec.md says all.
    bare = inspect.isclass(call) and issubclass(call, BaseModel)
    signature = "" if bare else _signature(call)
    return f"```text\n{name}{signature}\n\n{inspect.getdoc(value)}\n```\n"


def _signature(call: Any) -> str:
    """The parameters, one a line where they do not fit on one."""
    signature = inspect.signature(call)
    parameters, starred = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parameters.append("*")
            starred = True
        if parameter.name not in ("self", "cls"):
            default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
            stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
            parameters.append(f"{stars}{parameter.name}: {parameter.annotation}{default}")
    returned = signature.return_annotation
    returns = "" if returned in (signature.empty, "None") else f" -> {returned}"
    whole = f"({', '.join(parameters)}){returns}"
    return whole if len(whole) <= 100 else "(\n    " + ",\n    ".join(parameters) + f",\n){returns}"
