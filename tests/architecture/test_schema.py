"""`training/domain/schema.py` says every name once; dbt, Feast and the seeds agree with it."""

from pathlib import Path

import pytest
import yaml

from training.adapters.expectations_schema import checks
from training.domain import schema

ROOT = Path(__file__).parents[2]
DUCKDB_TYPES = {
    schema.Type.TEXT: {"varchar", "text", "string"},
    schema.Type.FLOAT: {"double", "float8", "double precision"},
    schema.Type.INT: {"bigint", "integer"},
    schema.Type.BOOL: {"boolean"},
    schema.Type.TIME: {"timestamp", "timestamptz", "timestamp with time zone"},
    schema.Type.DATE: {"date"},
    schema.Type.TEXTS: {"varchar[]", "text[]"},
    schema.Type.FLOATS: {"double[]", "float8[]", "double precision[]"},
}


def documents():
    """All of dbt's YAML."""
    return [yaml.safe_load(p.read_text()) for p in sorted((ROOT / "dbt").rglob("*.yml"))]


def described(section: str) -> dict[str, dict]:
    """dbt models or seeds by name."""
    return {node["name"]: node for doc in documents() if doc for node in doc.get(section, []) if isinstance(node, dict)}


@pytest.mark.parametrize("mart", sorted(schema.MARTS))
def test_marts_have_the_contract_of_the_schema(mart):
    """Same columns, same order, types that mean the same, contract enforced."""
    model = described("models")[mart]
    table = schema.MARTS[mart]
    assert [c["name"] for c in model["columns"]] == list(table.names)
    assert model["config"]["contract"]["enforced"] is True
    for column, spec in zip(table.columns, model["columns"], strict=True):
        plain = str(spec["data_type"]).lower()
        assert any(t in plain for t in DUCKDB_TYPES[column.type]), f"{mart}.{column.name}: {plain}"


@pytest.mark.parametrize("table", sorted(schema.RAW))
def test_sources_describe_each_raw_column(table):
    """dbt's sources are the raw tables."""
    sources = {t["name"]: t for doc in documents() if doc for s in doc.get("sources", []) for t in s["tables"]}
    names = [c["name"] for c in sources[table]["columns"]]
    assert [n for n in names if n != "day"] == list(schema.RAW[table].names)


@pytest.mark.parametrize("source", ["simulated", "hillstrom"])
@pytest.mark.parametrize("seed", sorted(schema.SEEDS))
def test_seeds_have_the_columns_of_the_schema(source, seed):
    """The header of each catalog file."""
    header = (ROOT / "dbt" / "seeds" / source / f"{seed}.csv").read_text().splitlines()[0]
    assert tuple(header.split(",")) == schema.SEEDS[seed].names


@pytest.mark.parametrize("mart", ["member_features", "arm_features"])
def test_feast_views_have_the_features_of_the_schema(mart):
    """Every column that is not key or time is a feature, by the same name, of the type that means the same."""
    from feast.types import Float64, String

    from feature_repo import definitions

    table = schema.MARTS[mart]
    types = {schema.Type.TEXT: String, schema.Type.FLOAT: Float64}
    expected = {c.name: types[c.type] for c in table.columns if c.name not in {*table.key, "event_timestamp", "created_timestamp"}}
    view = getattr(definitions, mart)
    assert {f.name: f.dtype for f in view.features} == expected
    assert view.batch_source.path.endswith(f"{mart}.parquet")


@pytest.mark.parametrize("mart", sorted(schema.MARTS))
def test_expectations_name_the_columns_of_the_schema_and_no_other(mart):
    """The gate compares the whole list in order, and every column check is about one of them."""
    table = schema.MARTS[mart]
    found = checks(table)
    assert [c.arguments["column_list"] for c in found if c.kind == "ExpectTableColumnsToMatchOrderedList"] == [list(table.names)]
    assert {c.arguments["column"] for c in found if "column" in c.arguments} <= set(table.names)


@pytest.mark.parametrize("mart", sorted(schema.MARTS))
def test_dbt_tests_not_null_where_the_schema_does_not_allow_it(mart):
    """`not_null` in the YAML for exactly the columns that are not nullable."""
    tested = {c["name"] for c in described("models")[mart]["columns"] if "not_null" in c.get("data_tests", [])}
    assert tested == {c.name for c in schema.MARTS[mart].columns if not c.nullable}


@pytest.mark.parametrize("mart", sorted(schema.MARTS))
def test_dbt_accepts_the_closed_sets_of_the_schema(mart):
    """`accepted_values` in the YAML are the values of the schema."""
    tests = {
        c["name"]: [t["accepted_values"] for t in c.get("data_tests", []) if isinstance(t, dict) and "accepted_values" in t]
        for c in described("models")[mart]["columns"]
    }
    said = {name: tuple(found[0]["arguments"]["values"]) for name, found in tests.items() if found}
    assert said == {c.name: c.values for c in schema.MARTS[mart].columns if c.values}


def test_every_model_column_is_described_and_every_model_says_its_grain():
    """A description on each column; each model's ends with `Grain: ...`."""
    models = described("models")
    assert {f.stem for f in (ROOT / "dbt" / "models").rglob("*.sql")} == set(models)
    for name, model in models.items():
        assert "Grain: " in model["description"].split(". ")[-1], name
        assert [c["name"] for c in model["columns"] if not c.get("description")] == [], name
