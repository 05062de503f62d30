"""Public bug reports about checkpoints, repetition and what a run leaves behind."""

import json
import random

import numpy as np
import pytest
import torch
from small_runs import (
    copies,
    equal,
    equal_states,
    inputs,
    plan,
    retraining,
    run,
    search,
)
from spaces_for_tests import bundled_space

from nasdsl.ir.formats import forms
from nasdsl.training import checkpoint
from nasdsl.training import run as runs
from nasdsl.training.checkpoint import CheckpointError
from nasdsl.training.loop import drive

RECIPES = ["soft", "sigmoid", "relaxed", "hard", "drawn"]


def through_disk(task, folder, step="epoch-0-step-2"):
    tensors, values = task.state()
    checkpoint.write(folder, step, tensors, {"task": values})
    found = checkpoint.read(folder)
    return found.tensors, found.values["task"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_goes_on_as_if_it_had_not_stopped(recipe, tmp_path):
    """C74, C75: alphas, weights, moments, generators, data order; two of four steps, then two."""
    whole = search(plan(recipe))
    run(whole)
    half = search(plan(recipe))
    run(half, 2)
    saved = through_disk(half, tmp_path)
    torch.rand(7)
    other = search(plan(recipe))
    run(other, 1)  # whatever it did before is forgotten
    other.restore(*saved)
    assert equal_states(half, other)
    run(other, first=2)
    assert equal_states(whole, other)
    assert whole.genotype() == other.genotype()
    state = whole.state()[0]
    moments = [n for n in state["arch_optimizer"] if n.endswith((":exp_avg", ":exp_avg_sq"))]
    assert len(moments) == 2 * len(whole.session.alphas)


def test_retraining_goes_on_as_if_it_had_not_stopped(tmp_path):
    """C75: network, momentum, drop-path masks and data order."""
    made = plan("soft")
    genotype = search(made).genotype()
    whole = retraining(made, genotype)
    run(whole)
    half = retraining(made, genotype)
    run(half, 2)
    other = retraining(made, genotype)
    run(other, 3)
    other.restore(*through_disk(half, tmp_path))
    run(other, first=2)
    assert equal_states(whole, other)


def test_checkpoints_hold_no_pickle(tmp_path):
    """C76: tensors as safetensors, the rest as JSON; nothing needs to be trusted."""
    task = search(plan("drawn"))
    run(task, 2)
    folder = checkpoint.write(tmp_path, "two", task.state()[0], {"task": task.state()[1]})
    assert sorted(p.name for p in folder.iterdir()) == ["state.json", "state.safetensors"]
    json.loads((folder / "state.json").read_text())
    assert checkpoint.read(tmp_path) is not None


def test_a_foreign_checkpoint_is_refused_without_being_unpickled(tmp_path):
    """C76: a pickle in our place is an error with the file's name, and is not executed."""
    task = search(plan())
    folder = checkpoint.write(tmp_path, "one", task.state()[0], {"task": task.state()[1]})
    victim = tmp_path / "victim"

    class Evil:
        def __reduce__(self):
            return victim.touch, ()

    torch.save(
        {"w": Evil(), "acc": np.float64(1.5), "state": random.getstate()},
        folder / "state.safetensors",
    )
    with pytest.raises(CheckpointError, match="one"):
        checkpoint.read(tmp_path)
    assert not victim.exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "schema", "json"])
def test_a_damaged_checkpoint_is_an_error_not_a_fresh_start(damage, tmp_path):
    """C76: silence would lose the run."""
    task = search(plan())
    folder = checkpoint.write(tmp_path, "one", task.state()[0], {"task": task.state()[1]})
    tensors, values = folder / "state.safetensors", folder / "state.json"
    match damage:
        case "cut":
            tensors.write_bytes(tensors.read_bytes()[:-100])
        case "empty":
            tensors.write_bytes(b"")
        case "gone":
            tensors.unlink()
        case "schema":
            values.write_text(values.read_text().replace('"schema": 3', '"schema": 99'))
        case "json":
            values.write_text(values.read_text()[:-20])
    with pytest.raises(CheckpointError):
        checkpoint.read(tmp_path)


def test_weights_of_a_wrapped_model_load_into_a_plain_one():
    """C77: the `module.` of DataParallel is taken off; plain ones load as they are."""
    task, other = search(plan()), search(plan(seed=3))
    state = copies(task.session.supernet.state_dict())
    assert not equal(state, copies(other.session.supernet.state_dict()))
    wrapped = {f"module.{k}": v for k, v in state.items()}
    checkpoint.load_module(other.session.supernet, wrapped, "the supernet")
    assert equal(state, copies(other.session.supernet.state_dict()))
    wrapper = torch.nn.DataParallel(task.session.supernet, device_ids=[])
    wrapper.load_state_dict(wrapped)
    short = {k: v for k, v in state.items() if "head" not in k}
    with pytest.raises(CheckpointError, match="supernet"):
        checkpoint.load_module(other.session.supernet, short, "the supernet")


def test_every_epoch_says_which_genotype_it_had_and_the_last_is_the_result():
    """C78: the rule is explicit, and the log holds what another rule would need."""
    made = plan(epochs=3)
    task = search(made)
    records = drive(task, folder=None)
    assert [r["epoch"] for r in records] == [1, 2, 3]
    assert all({"accuracy", "loss"} <= r["valid"].keys() for r in records)
    space = made.space()
    for record in records:
        forms.parse(record["genotype"], space)
    assert task.result()["text"] == records[-1]["genotype"]


def test_two_searches_in_one_process_do_not_know_each_other():
    """C79: another space in between; the third run is the first, bit for bit."""
    results = []
    for space in ("tiny", "bench", "tiny"):
        task = search(plan("hard", space=space))
        run(task)
        results.append(
            (
                copies(task.session.alphas),
                copies(task.session.supernet.state_dict()),
                task.genotype(),
            )
        )
    first, second, third = results
    assert equal(first[0], third[0])
    assert equal(first[1], third[1])
    assert first[2] == third[2]
    assert first[2] != second[2]


@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_depends_on_the_global_random_state(recipe):
    """C85: an extra draw before the build, another global seed: the same run."""
    tasks = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        torch.rand(5 * seed)
        task = search(plan(recipe))
        run(task)
        tasks.append(task)
    assert equal(copies(tasks[0].session.alphas), copies(tasks[1].session.alphas))
    assert equal(
        copies(tasks[0].session.supernet.state_dict()),
        copies(tasks[1].session.supernet.state_dict()),
    )
    assert tasks[0].genotype() == tasks[1].genotype()


def test_another_seed_is_another_run():
    """C85: weights, alphas and data order follow the seed."""
    a, b = search(plan(seed=0)), search(plan(seed=1))
    assert not equal(copies(a.session.alphas), copies(b.session.alphas))
    assert not equal(
        copies(a.session.supernet.state_dict()), copies(b.session.supernet.state_dict())
    )
    assert not torch.equal(a.train.next_batch()[0], b.train.next_batch()[0])


@pytest.mark.parametrize("recipe", ["soft", "hard"])
def test_measuring_leaves_weights_and_running_statistics_as_they_are(recipe):
    """C86: evaluation with batch statistics works on copies."""
    task = search(plan(recipe))
    run(task)
    before = copies(task.session.supernet.state_dict())
    first = task.result()
    assert equal(before, copies(task.session.supernet.state_dict()))
    second = task.result()
    assert first == second
    assert first["discretization_gap"] == pytest.approx(
        first["valid"]["accuracy"] - first["valid_discrete"]["accuracy"]
    )


def test_a_retrained_network_is_measured_with_its_running_statistics():
    """C86: the mode is that of evaluation, and measuring changes nothing."""
    made = plan("soft")
    task = retraining(made, search(made).genotype())
    run(task)
    before = copies(task.net.state_dict())
    a, b = task.measure("test"), task.measure("test")
    assert a == b
    assert equal(before, copies(task.net.state_dict()))
    x, y = task.inputs.test.take(torch.arange(len(task.inputs.test)))
    logits = task.net.eval()(x)
    assert a[1] == pytest.approx(100 * (logits.argmax(1) == y).double().mean().item())


def test_a_run_folder_says_what_a_run_in_memory_says(tmp_path):
    """C80: with and without a folder the result is one, and the genotype is on disk."""
    made, given = plan("hard"), inputs()
    outcome = runs.execute(made, given, None, runs.Options(retrain=False))
    folder = runs.begin(made, given, tmp_path / "r", runs.Options(retrain=False))
    again = runs.execute(made, given, folder, runs.Options(retrain=False))
    assert again.genotype == outcome.genotype
    assert (tmp_path / "r/genotype.txt").read_text().strip() == outcome.text
    assert folder.read("run.json")["status"] == "done"


def test_genotypes_are_readable_by_the_space_they_came_from():
    """C74: what a search exports is an architecture of its space."""
    for space, file, name in (("tiny", None, None), ("bench", "nasbench201.nas", "nasbench201")):
        made = plan("soft", space=space)
        genotype = search(made).genotype()
        assert forms.parse(genotype.dumps(), made.space()) == genotype
        if file:
            text = forms.dumps(genotype, made.space())
            assert forms.parse(text, bundled_space(file, name)).picks == genotype.picks
