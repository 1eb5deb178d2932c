"""`training/domain/schema.py` says every name once; dbt, Feast and the seeds agree with it."""

from pathlib import Path

import pytest
import yaml

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
