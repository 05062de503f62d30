"""Tables, series, and images with a planted shortcut: read, checked, and searched over."""

import json
import pickle

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from nasdsl.cli.main import cli
from nasdsl.training.data import synthetic
from nasdsl.training.data.arrays import DataError
from nasdsl.training.data.batches import Images
from nasdsl.training.data.normalize import measure
from nasdsl.training.data.sources import read

TABLE = "a,b,kind\n1,2.5,cat\n-3,1e3,dog\n0,0,cat\n4,5,ant\n6,7,dog\n"


def csv(place, text=TABLE, **options):
    (place / "t.csv").write_text(text)
    return read("csv", ("t.csv",), options, data_dir=place, kind="features")


def test_a_table_is_numbers_and_classes_by_name(tmp_path):
    data = csv(tmp_path)
    assert data.kind == "features" and data.shape == (2,) and data.classes == 3
    assert data.train_x.dtype == np.float32
    assert data.train_x.tolist() == [[1, 2.5], [-3, 1000], [0, 0], [4, 5]]
    assert data.train_y.tolist() == [1, 2, 1, 0]  # ant, cat, dog
    assert data.test_x.tolist() == [[6, 7]] and data.test_y.tolist() == [2]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_may_name_its_label_and_its_test_file(separator, tmp_path):
    text = "y,a,b\n1,2,3\n0,4,5\n"
    (tmp_path / "test.csv").write_text("y;a;b\n2;6;7\n")
    data = csv(tmp_path, text.replace(",", separator), label="y", test="test.csv")
    assert data.train_x.tolist() == [[2, 3], [4, 5]] and data.train_y.tolist() == [1, 0]
    assert data.test_x.tolist() == [[6, 7]] and data.test_y.tolist() == [2]
    assert data.classes == 3


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("a,b\n", {}, "a row of names and rows of numbers"),
        ("a,b,y\n1,2,0\n1,0\n", {}, "row 3 has 2 cells, the head 3"),
        ("a,b,y\n1,x,0\n1,2,1\n", {}, "row 2 holds 'x', which is no finite number"),
        ("a,b,y\n1,nan,0\n1,2,1\n", {}, "'nan', which is no finite"),
        ("a,b,y\n1,1e39,0\n1,2,1\n", {}, "'1e39', which is no finite"),
        ("a,a,y\n1,2,0\n1,2,1\n", {}, "two columns have one name"),
        (TABLE, {"label": "z"}, "there is no column `z`; there are a, b, kind"),
        (TABLE, {"test": "../t.csv"}, "may not hold"),
        ("a,b,y\n1,2,\n1,2,x\n", {}, "has no class"),
        ('a,b,y\n1,"2,0\n', {}, "no sound table"),
    ],
)
def test_what_is_no_table_of_numbers_is_said(text, options, words, tmp_path):
    with pytest.raises(DataError, match=words):
        csv(tmp_path, text, **options)


def test_parquet_needs_its_package_and_says_so(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    table = pyarrow.table({"a": [1, 2, 3, 4, 5], "b": [0.5] * 5, "y": ["u", "v", "u", "v", "u"]})
    parquet.write_table(table, tmp_path / "t.parquet")
    data = read("parquet", ("t.parquet",), data_dir=tmp_path, kind="features")
    assert data.train_x.tolist() == [[1, 0.5], [2, 0.5], [3, 0.5], [4, 0.5]]
    assert data.train_y.tolist() == [0, 1, 0, 1]
    (tmp_path / "t.parquet").write_bytes(b"PAR1" + bytes(40))
    with pytest.raises(DataError, match="no sound table"):
        read("parquet", ("t.parquet",), data_dir=tmp_path, kind="features")


def test_images_are_not_taken_for_something_else(tmp_path):
    with pytest.raises(DataError, match="holds images; its data set declares series"):
        read("fashion16", kind="series")
    (tmp_path / "t.csv").write_text(TABLE)
    with pytest.raises(DataError, match="holds features or series, not image"):
        read("csv", ("t.csv",), data_dir=tmp_path)


def test_rows_are_normalised_by_column():
    draw = np.random.default_rng(0)
    x = (draw.standard_normal((50, 3)) * (1, 10, 0) + (0, 5, 7)).astype(np.float32)
    images = Images.put(x, np.zeros(50, np.int64), measure(x))
    taken, _ = images.take(torch.arange(50))
    expected = (x.astype(np.float64) - x.astype(np.float64).mean(0)) / (
        *x.astype(np.float64).std(0)[:2], 1.0,
    )  # fmt: skip
    assert torch.allclose(taken.double(), torch.from_numpy(expected), atol=1e-5)


# --- the planted shortcut -----------------------------------------------------------------------


def bright(image):
    """Places of the pixels of the patterns."""
    return {tuple(p) for p in np.argwhere(image[0] == 255)}


def test_the_pattern_is_the_class_and_the_shortcut_agrees_as_often_as_it_says():
    x, y, agrees = synthetic.images(4000, 16, (3, 5), 0.6, 0.0, (0, 0))
    assert x.shape == (4000, 3, 16, 16) and (np.bincount(y) == 2000).all()
    # 1/2 + 0.6/2, within four deviations.
    assert abs(agrees.mean() - 0.8) < 4 * np.sqrt(0.8 * 0.2 / 4000)
    checked = 0
    for image, label, agree in zip(x[:300], y[:300], agrees[:300], strict=True):
        places = bright(image)
        if len(places) < 4:
            continue  # the patterns lie on each other
        signal = {
            (p, q)
            for p in places
            for q in places
            if p < q and abs(p[0] - q[0]) == abs(p[1] - q[1]) == 2
        }
        flat = {
            (p, q)
            for p in places
            for q in places
            if p < q and sorted((abs(p[0] - q[0]), abs(p[1] - q[1]))) == [0, 4]
        }
        if len(signal) != 1 or len(flat) != 1:
            continue
        ((a, b),) = signal
        assert ((b[0] - a[0]) * (b[1] - a[1]) < 0) == (label == 1)
        ((a, b),) = flat
        assert (a[1] == b[1]) == ((label == 1) == agree)
        checked += 1
    assert checked > 200


def test_the_test_images_have_no_shortcut_unless_asked():
    data = read("synthetic", (), {"count": 1000, "size": 12, "strength": 1, "seed": 3})
    assert data.shape == (3, 12, 12) and len(data.test_x) == 200
    again = read("synthetic", (), {"count": 1000, "size": 12, "strength": 1, "seed": 3})
    assert (data.train_x == again.train_x).all()
    other = read("synthetic", (), {"count": 1000, "size": 12, "strength": 1, "seed": 4})
    assert (data.train_x != other.train_x).any()
    _, _, train = synthetic.images(1000, 12, (5, 9), 1.0, 0.1, (3, 0))
    _, _, test = synthetic.images(200, 12, (5, 9), 0.0, 0.1, (3, 1))
    assert train.all() and 0.35 < test.mean() < 0.65


@pytest.mark.parametrize(
    "options", [{"signal": 4}, {"shortcut": 99}, {"strength": 2}, {"count": 2}, {"noise": -1}]
)
def test_a_synthetic_set_that_cannot_be_is_refused(options):
    with pytest.raises(DataError, match="synthetic"):
        read("synthetic", (), {"size": 16, **options})


def test_imagenet16_keeps_the_first_classes(tmp_path):
    draw = np.random.default_rng(0)
    for name in [f"train_data_batch_{i}" for i in range(1, 11)] + ["val_data"]:
        labels = [1, 120, 121, 1000]
        held = {"data": draw.integers(0, 256, (4, 768), dtype=np.uint8), "labels": labels}
        (tmp_path / name).write_bytes(pickle.dumps(held, 2))
    data = read("imagenet16", (), {"classes": 120}, data_dir=tmp_path)
    assert data.shape == (3, 16, 16) and data.classes == 120
    assert data.train_y.tolist() == [0, 119] * 10 and data.test_y.tolist() == [0, 119]
    assert read("imagenet16", data_dir=tmp_path).train_y.tolist() == [0, 119, 120, 999] * 10
    (tmp_path / "val_data").write_bytes(pickle.dumps({"data": 3, "labels": [1]}))
    with pytest.raises(DataError, match="val_data: `data` is not"):
        read("imagenet16", data_dir=tmp_path)


# --- whole runs ---------------------------------------------------------------------------------

RUNS = """nas 1

from "small.nas" import tabular, conv1d
import "recipes/darts.nas" as base

dataset rows {
  source  = csv("rows.csv", label = "y")
  shape   = features(6)
  classes = 3
}
dataset waves {
  source  = npz("waves.npz")
  shape   = series(2, 16)
  classes = 3
}

space table extends tabular {
  data = rows
}
space signal extends conv1d {
  C    = 4
  data = waves
}

recipe soft extends base.darts {
  epochs  = 1
  batch   = 16
}
recipe single {
  sampler = uniform_path
  epochs  = 1
  batch   = 16
  weights = sgd(lr = 0.01)
  step    = weights_only
  select  = random(samples = 3, score = accuracy(search.valid))
}
split few {
  search.train  = data[0..31]
  search.valid  = data[32..63]
  retrain.train = data[64..127]
}
train short {
  epochs  = 1
  batch   = 16
  weights = sgd(lr = 0.01)
}
"""


@pytest.fixture
def files(tmp_path):
    draw = np.random.default_rng(0)
    y = np.arange(160) % 3
    rows = draw.standard_normal((160, 6)) + y[:, None]
    lines = ["a,b,c,y,d,e,f"] + [
        ",".join([*(f"{v:.4f}" for v in r[:3]), str(k), *(f"{v:.4f}" for v in r[3:])])
        for r, k in zip(rows, y, strict=True)
    ]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    waves = (draw.standard_normal((160, 2, 16)) + y[:, None, None]).astype(np.float32)
    np.savez(
        tmp_path / "waves.npz",
        x_train=waves[:128], y_train=y[:128], x_test=waves[128:], y_test=y[128:],
    )  # fmt: skip
    (tmp_path / "mine.nas").write_text(RUNS)
    return tmp_path


@pytest.mark.parametrize(
    ("space", "recipe", "shape"),
    [("table", "single", "features:6"), ("signal", "soft", "series:2x16")],
)
def test_tables_and_series_are_searched_and_retrained(space, recipe, shape, files):
    out = files / "run"
    given = ["-q", "run", str(files / "mine.nas"), "--space", space, "--recipe", recipe]
    given += ["--data", "rows" if space == "table" else "waves"]
    given += ["--data-dir", str(files), "-o", str(out), "--threads", "1"]
    result = CliRunner().invoke(cli, given, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert json.loads((out / "run.json").read_text())["data"]["shape"] == shape
    found = json.loads((out / "retrain/result.json").read_text())
    assert np.isfinite(found["test"]["loss"])


def test_augmentation_of_images_is_refused_for_series(files):
    text = RUNS.replace("  batch   = 16\n}", "  batch   = 16\n  augment = flip\n}", 1)
    (files / "mine.nas").write_text(text)
    given = ["-q", "run", str(files / "mine.nas"), "--space", "signal", "--recipe", "soft"]
    given += ["--data", "waves", "--data-dir", str(files), "-o", str(files / "run")]
    result = CliRunner().invoke(cli, given)
    assert result.exit_code == 1 and "`soft` augments images" in result.output
