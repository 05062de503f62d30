"""Tables of results, CSV and Parquet: what is written is what is read."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from nasdsl.cli.main import cli
from nasdsl.suite import table
from nasdsl.suite.statistics.results import Result, Results, StatisticsError

VALUES = (0.1, 1 / 3, 12.5, 1e-300)


def results(measure="test.error"):
    rows = tuple(
        Result(optimizer=f"o{i % 2}", benchmark="b, 1", setting="s", seed=str(i // 2), value=v)
        for i, v in enumerate(VALUES)
    )
    return Results(rows=rows, measure=measure, higher="error" not in measure)


def nasdsl(*args, code=0):
    result = CliRunner().invoke(cli, [*map(str, args)])
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("measure", ["test.error", "test.accuracy", "retrain.valid.loss"])
def test_tables_come_back(ending, measure, tmp_path):
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    path = tmp_path / f"t.{ending}"
    table.write(results(measure), path)
    back = table.read(path)
    assert back.rows == results(measure).rows
    assert (back.measure, back.higher) == (measure, measure == "test.accuracy")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_parquet_has_types_and_reports_are_equal(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    for name in ("t.csv", "t.parquet"):
        table.write(results(), tmp_path / name)
    schema = parquet.read_schema(tmp_path / "t.parquet")
    assert schema.names == ["optimizer", "benchmark", "setting", "seed", "test.error"]
    assert schema.field("test.error").type == pyarrow.float64()
    assert schema.field("seed").type == pyarrow.string()
    one = nasdsl("suite", "report", tmp_path / "t.csv", "--table", tmp_path / "u.parquet")
    assert nasdsl("suite", "report", tmp_path / "t.parquet") == one
    assert table.read(tmp_path / "u.parquet").rows == results().rows


def test_two_measures_are_not_guessed_between(tmp_path):
    (tmp_path / "t.csv").write_text("optimizer,benchmark,a.error,b.error\no,b,1,2\n")
    with pytest.raises(StatisticsError, match="no column for the value"):
        table.read(tmp_path / "t.csv")
    assert table.read(tmp_path / "t.csv", {"value": "b.error"}).rows[0].value == 2.0


def test_what_cannot_be_read_is_said(tmp_path, missing):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    (tmp_path / "t.parquet").write_text("optimizer,benchmark,error\n")
    told = nasdsl("suite", "report", tmp_path / "t.parquet", code=1)
    assert "t.parquet is no Parquet table" in told
    table.write(results(), tmp_path / "t.csv")
    missing("pyarrow")
    told = nasdsl("suite", "report", tmp_path / "t.parquet", code=3)
    assert "pip install 'nasdsl[parquet]'" in told
    told = nasdsl("suite", "report", tmp_path / "t.csv", "--table", tmp_path / "u.parquet", code=3)
    assert "pip install 'nasdsl[parquet]'" in told
