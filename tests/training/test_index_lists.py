"""Run folders hold the images of every part one by one, and a run that goes on has the same."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_trust import TEXT, run, same

from nasdsl import driver
from nasdsl.training import index_lists
from nasdsl.training import plan as plans
from nasdsl.training.data import inputs, ranges
from nasdsl.training.data.arrays import DataError
from nasdsl.training.data.splits import fingerprint
from nasdsl.training.record import RunError, RunFolder

SHUFFLED = TEXT[: TEXT.index("split ")] + (
    "split few {\n"
    "  let order = shuffle(data, seed = 3)\n"
    "  search.train  = order[0..95]\n"
    "  search.valid  = order[96..191]\n"
    "  retrain.train = stratify(data, seed = 1)[0..63]\n"
    "  retrain.valid = data[200..231]\n"
    "}\n"
) + TEXT[TEXT.index("\ntrain short") :]  # fmt: skip


@given(st.lists(st.integers(0, 40), unique=True))
def test_lists_go_to_text_and_back(given):
    assert ranges.read(ranges.written(given)).tolist() == given


def test_what_follows_is_one_range():
    assert ranges.written([*range(96), 7, 300, 301, 9, 8]) == "0..95, 7, 300, 301, 9, 8"
    assert ranges.read("0..2, 7").tolist() == [0, 1, 2, 7]
    assert ranges.read("").tolist() == [] and ranges.read("").dtype == np.int64


@pytest.mark.parametrize(
    "text", ["x", "1,2", "3..1", "-1", "1..", "..1", "0..999999999999", "1" * 30, " ", "1, ", "١"]
)
def test_what_is_no_list_is_refused(text):
    with pytest.raises(DataError, match="list of indices"):
        ranges.read(text)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run that was stopped after its first step."""
    base = tmp_path_factory.mktemp("begun")
    (base / "tiny.nas").write_text(SHUFFLED)
    command = (base / "tiny.nas", "--recipe", "soft", "--set", "epochs=1", "--no-retrain", "-o")
    run(*command, base / "run", "--wall-limit", "0", code=130)
    return base, command


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def put_back(folder, before):
    shutil.rmtree(folder)
    for name, data in before.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def test_a_run_folder_holds_the_images_that_the_run_uses(begun):
    base, _ = begun
    made = plans.make(
        driver.load(base / "tiny.nas"), names={"recipe": "soft"}, parameters={}, changes={}, seed=0
    )
    used = inputs.prepare(made.dataset, made.split, data_dir=None, device="cpu").parts.parts()
    found = index_lists.lists(RunFolder(base / "run"))
    assert found.keys() == used.keys() and len(found) == 4
    for name, indices in used.items():
        assert found[name].tolist() == indices.tolist()
    value = json.loads((base / "run" / "splits.json").read_text())["parts"]
    order = json.loads((base / "run" / "run.json").read_text())
    assert {n: p["fingerprint"] for n, p in value.items()} == order["fingerprints"]
    assert value["retrain.valid"]["indices"] == "200..231"


@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_damaged_lists_are_made_again(how, begun):
    base, command = begun
    folder = base / "run"
    before = files(folder)
    path = folder / "splits.json"
    data = bytearray(before[path.relative_to(folder)])
    data[len(data) // 2] ^= 4
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data if how == "flipped" else data[:40])
    said = run(*command, folder, "--wall-limit", "0", code=130).output
    assert ("splits.json is damaged; it is made again" in said) == (how != "gone")
    assert index_lists.lists(RunFolder(folder))["search.train"].shape == (96,)
    put_back(folder, before)


def test_a_run_does_not_go_on_with_other_images(begun, tmp_path):
    """The lists are whole and have the digest of their file, and are not those of the split."""
    base, command = begun
    folder = RunFolder(base / "run")
    before = files(folder.path)
    value = folder.read("splits.json")
    value["parts"]["search.train"] = {
        "count": 96, "fingerprint": fingerprint(range(96)), "indices": "0..95",
    }  # fmt: skip
    folder.write("splits.json", value)
    said = run(*command, folder.path, code=1).output
    assert "`search.train` are other images than splits.json says" in said
    put_back(folder.path, before)


def test_lists_that_do_not_have_their_fingerprint_are_damaged():
    value = {"parts": {"a": {"count": 2, "fingerprint": fingerprint([1, 2]), "indices": "1, 3"}}}
    with pytest.raises(RunError, match="not those of its fingerprint"):
        index_lists.of_json(value)


def test_a_repeated_run_has_the_same_lists(begun, tmp_path):
    base, command = begun
    run(*command, tmp_path / "a")
    run(tmp_path / "a", "--no-retrain", "-o", tmp_path / "b")
    same(tmp_path / "a", tmp_path / "b")
    lists = [(tmp_path / n / "splits.json").read_bytes() for n in "ab"]
    assert lists[0] == lists[1]
