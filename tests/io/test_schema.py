"""The schema of plan files, checked with a small validator of its own (jsonschema is not among the tests' packages)."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from autoseg import experiment_plans
from autoseg.budget import memory_budget
from autoseg.io.json_files import to_json
from autoseg.io.schema import json_schema, read_docstring
from autoseg.plan import Network, Plan, Stage
from autoseg.planners import Request, make_plan
from tests import small
from tests.fingerprint.make import case_facts, fingerprint

SCHEMA = json_schema(Plan)
TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None),
}  # fmt: skip
#: What the validator understands; a schema with more in it would be checked in part only.
KEYWORDS = {
    "$schema", "$defs", "$ref", "title", "description", "default", "type", "enum", "anyOf", "properties", "required",
    "additionalProperties", "items", "prefixItems", "minItems", "maxItems",
}  # fmt: skip


def problems(value: Any, schema: dict[str, Any], where: str = "") -> Iterator[str]:
    """Where a JSON value contradicts a schema of draft 2020-12, as far as `KEYWORDS` goes."""
    assert schema.keys() <= KEYWORDS
    if "$ref" in schema:
        yield from problems(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], where)
    if "anyOf" in schema and not any(not list(problems(value, choice, where)) for choice in schema["anyOf"]):
        yield f"{where}: none of the choices"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{where}: no {kind}"
    elif kind == "object":
        yield from _of_object(value, schema, where)
    elif kind == "array":
        yield from _of_array(value, schema, where)


def _of_object(value: dict[str, Any], schema: dict[str, Any], where: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    yield from (f"{where}.{name}: is missing" for name in schema.get("required", ()) if name not in value)
    for name, item in value.items():
        if name in known or isinstance(others, dict):
            yield from problems(item, known.get(name, others), f"{where}.{name}")
        elif others is False:
            yield f"{where}.{name}: unknown"


def _of_array(value: list[Any], schema: dict[str, Any], where: str) -> Iterator[str]:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        yield f"{where}: {len(value)} items"
    each = schema.get("prefixItems") or [schema.get("items", {})] * len(value)
    for k, (item, inner) in enumerate(zip(value, each, strict=False)):
        yield from problems(item, inner, f"{where}.{k}")


@pytest.mark.parametrize("name", experiment_plans.names())
def test_plans_that_come_with_autoseg(name: str) -> None:
    content = json.loads((files(experiment_plans) / f"{name}.json").read_text(encoding="utf-8"))
    assert list(problems(content, SCHEMA)) == []


def test_a_fresh_plan() -> None:
    facts = fingerprint([case_facts(f"case{k}") for k in range(4)])
    plan = make_plan(facts, memory_budget(8), Request())
    assert list(problems(json.loads(to_json(plan)), SCHEMA)) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("bogus",), 1, ".bogus: unknown"),
        (("unit",), "inch", ".unit: 'inch' is none of ['mm', 'pixel']"),
        (("stages", "2d", "batch"), "two", ".stages.2d.batch: no integer"),
        (("stages", "2d", "patch"), [16, "x"], ".stages.2d.patch.1: no integer"),
        (("stages", "2d", "network", "strides"), [1], ".stages.2d.network.strides.0: no array"),
        (("stages", "2d", "recipe", "augmentation", "scaling"), [1], ".stages.2d.recipe.augmentation.scaling: 1 items"),
        (("stages", "2d", "step_s"), "fast", ".stages.2d.step_s: none of the choices"),
        (("overrides",), [3], ".overrides.0: no string"),
    ],
)
def test_what_a_schema_refuses(path: tuple[str, ...], value: Any, said: str) -> None:
    content = json.loads(to_json(small.plan()))
    node = content
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    assert list(problems(content, SCHEMA)) == [said]


def test_a_missing_field() -> None:
    content = json.loads(to_json(small.plan()))
    del content["stages"]["2d"]["spacing"]
    assert list(problems(content, SCHEMA)) == [".stages.2d.spacing: is missing"]


def test_fields_are_described_as_in_the_docstrings() -> None:
    stage, network = SCHEMA["$defs"]["Stage"], SCHEMA["$defs"]["Network"]
    assert stage["description"] == "One resolution at which a net is trained."
    assert stage["properties"]["patch"]["description"] == stage["properties"]["batch"]["description"] == "The net's axes."
    assert network["properties"]["features"]["description"] == "Channels of each encoder stage."
    assert "description" not in network["properties"]["num_heads"]
    assert SCHEMA["description"].startswith("What was decided for one data set")
    assert "as typed" in SCHEMA["properties"]["overrides"]["description"]


def test_docstrings_are_read_paragraph_by_paragraph() -> None:
    summary, parameters = read_docstring(Stage)
    assert "\n" not in summary
    assert parameters["mirror_swap"].startswith("The class whose place each class takes")
    names = {"features", "strides", "kernels", "convs", "blocks", "deep_supervision", "kind", "decoder_convs"}
    assert read_docstring(Network)[1].keys() == names
