"""Steps in bf16 and fp16, and batches in parts: equal to what they stand for."""

import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import nn

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "regressions"), str(HERE.parent / "oneshot")]

from small_runs import TEXT, equal_states, inputs, plan, run  # noqa: E402
from small_search import as_double, farthest, recipe, steps  # noqa: E402

from nasdsl.fusion.counting import count  # noqa: E402
from nasdsl.ir.config import Component  # noqa: E402
from nasdsl.oneshot import optimizers  # noqa: E402
from nasdsl.oneshot.accumulate import parts_of  # noqa: E402
from nasdsl.oneshot.precision import Numerics, refused  # noqa: E402
from nasdsl.oneshot.scaler import Scaler  # noqa: E402
from nasdsl.training.plan import PlanError  # noqa: E402
from nasdsl.training.retrain import Retrain  # noqa: E402
from nasdsl.training.run import Options, check_numerics, searching  # noqa: E402
from nasdsl.training.search import Search  # noqa: E402


def searched(body="", **numerics):
    """A small search whose steps are computed as `numerics` say."""
    made = plan("mine", text=recipe(body))
    return Search(
        made.space(), made.recipe, inputs(), seed=0, device="cpu", numerics=Numerics(**numerics)
    )


def without_batches(network):
    """Batch-norms take their running statistics, and so see no batch."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train(False)
            module.train = lambda mode=True, module=module: module


def pair(body, parts):
    """The same search in float64, with whole batches and with parts of them."""
    found = as_double(searched(body)), as_double(searched(body, accumulate=parts))
    for task in found:
        without_batches(task.session.supernet)
    return found


# --- accumulation -------------------------------------------------------------------------------


def test_parts_are_of_one_size_as_far_as_that_goes():
    for size in range(1, 40):
        for wanted in range(1, 12):
            parts = parts_of(size, wanted)
            sizes = [p.stop - p.start for p in parts]
            assert sum(sizes) == size and len(parts) == min(size, wanted)
            assert max(sizes) - min(sizes) <= 1
            assert all(a.stop == b.start for a, b in zip(parts, parts[1:], strict=False))


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ("", 3),
        ("", 8),
        ("step = joint", 3),
        ("regularize = entropy(weight = 0.3)", 3),
        ("step = alternating(order = second)", 3),
        ("step = implicit(terms = 2, scale = 0.05)", 3),
        ("sampler = gumbel(tau = 1)", 3),
        ("sampler = gumbel(tau = 1, hard = true)", 3),
        ("perturb = adversarial(eps = 0.03, steps = 2)", 3),
        ("freeze = alignment(every = 1, below = 0.2)", 3),
        ("drop_path = 0.4", 3),
    ],
)
def test_parts_of_a_batch_move_all_as_the_whole_does(body, parts):
    whole, made = pair(body, parts)
    steps(whole, 2), steps(made, 2)
    assert farthest(whole, made) < 1e-12
    for a, b in (
        (whole.session.train_meter, made.session.train_meter),
        (whole.session.valid_meter, made.session.valid_meter),
    ):
        assert a.count == b.count
        assert torch.allclose(a.sums, b.sums, rtol=1e-12)


@pytest.mark.parametrize(
    "body", ["step = alternating(order = second, hessian = finite)", "align = layers(weight = 0.1)"]
)
def test_differences_of_gradients_agree_as_far_as_they_are_exact(body):
    whole, made = pair(body, 3)
    steps(whole, 1), steps(made, 1)
    assert farthest(whole, made) < 1e-8


def test_batch_statistics_are_those_of_a_part():
    """What is promised not to agree does not: the test above would not see a batch otherwise."""
    whole, made = as_double(searched("")), as_double(searched("", accumulate=3))
    steps(whole, 2), steps(made, 2)
    assert farthest(whole, made) > 1e-6


class Counted:
    """A module notes how many images go through it."""

    def __init__(self, network):
        self.seen = []
        conv = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
        conv.register_forward_hook(lambda m, given, made: self.seen.append(len(given[0])))


def test_no_part_is_larger_than_it_should_be():
    for body in ("", "step = alternating(order = second)", "align = layers(weight = 0.1)"):
        task = searched(body, accumulate=4)
        counted = Counted(task.session.supernet)
        steps(task, 1)
        assert set(counted.seen) == {2}, body


AUX = TEXT.replace("train short {", "train short {\n  aux = 0.4").replace(
    "momentum = 0.9)\n  drop_path", "momentum = 0.9, clip = 0.5)\n  drop_path"
)
# An auxiliary head stands behind maps of 8 x 8.
AUX = AUX.replace("image(3, 8, 8)", "image(3, 32, 32)")


def retrained(text=TEXT, steps_=3, double=True, **numerics):
    made = plan(text=text)
    given = inputs(size=32 if text is AUX else 8)
    genotype = Search(made.space(), made.recipe, given, seed=0, device="cpu").genotype()
    task = Retrain(
        made.space(genotype).target, made.train, given, seed=0, device="cpu",
        numerics=Numerics(**numerics),
    )  # fmt: skip
    if double:
        task.net.double()
        without_batches(task.net)
        next_batch = task.train.next_batch
        task.train.next_batch = lambda: (lambda b: (b[0].double(), b[1]))(next_batch())
    task.begin(0)
    for k in range(steps_):
        task.step(1, k)
    return task


@pytest.mark.parametrize("text", [TEXT, AUX])
def test_parts_of_a_batch_retrain_as_the_whole_does(text):
    whole, made = retrained(text), retrained(text, accumulate=5)
    assert whole.net.has_aux == (text is AUX)
    for a, b in zip(whole.net.parameters(), made.net.parameters(), strict=True):
        assert (a - b).abs().max() < 1e-12
    assert whole.meter.count == made.meter.count
    assert torch.allclose(whole.meter.sums, made.meter.sums, rtol=1e-12)


def test_more_parts_than_images_are_refused():
    made = plan("mine", text=recipe(""))
    check_numerics(made, Options(accumulate=4))
    with pytest.raises(PlanError, match="--accumulate 5: of `mine` a batch has 8 images"):
        check_numerics(made, Options(accumulate=5))
    text = recipe("").replace("batch     = 16", "batch     = 4")
    check_numerics(plan("mine", text=text), Options(accumulate=4, retrain=False))
    with pytest.raises(PlanError, match="--accumulate 4: of `short` a batch has 4 images"):
        check_numerics(plan("mine", text=text), Options(accumulate=4))


# --- precision ----------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_what_computes_in_which_precision(precision):
    task = searched("", precision=precision)
    kinds = []
    conv = next(m for m in task.session.supernet.modules() if isinstance(m, nn.Conv2d))
    conv.register_forward_hook(lambda m, given, made: kinds.append(made.dtype))
    steps(task, 1)
    wanted = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    assert set(kinds) == {wanted}
    session = task.session
    for parameter in (*session.weights.values(), *session.alphas.values()):
        assert parameter.dtype is torch.float32
        assert parameter.grad is None or parameter.grad.dtype is torch.float32
    x, y = session.next_train()
    sample = session.sample("arch")
    assert session.forward(x, sample).dtype is torch.float32
    kinds.clear()
    session.forward(x, sample, exact=True)
    assert set(kinds) == {torch.float32}


@pytest.mark.parametrize(("precision", "rounding"), [("bf16", 2**-8), ("fp16", 2**-11)])
def test_steps_are_those_of_float32_as_far_as_the_precision_goes(precision, rounding):
    """Values are off by some roundings; gradients by the root of one, as a rounding now and then
    turns a rectifier or the winner of a maximum, and with it a whole entry."""

    def off(wanted, found):
        return ((wanted - found).norm() / wanted.norm()).item()

    plain, made = searched(""), searched("", precision=precision)
    logits = []
    for task in (plain, made):
        session = task.session
        session.supernet.train()
        x, _ = session.probe("train")
        logits.append(session.forward(x, session.sample("arch")).detach())
    assert 0 < off(*logits) < 8 * rounding
    plain, made = searched(""), searched("", precision=precision)
    start = {n: w.detach().clone() for n, w in plain.session.weights.items()}
    steps(plain, 1), steps(made, 1)
    moves = [
        torch.cat([(w - start[n]).flatten() for n, w in task.session.weights.items()])
        for task in (plain, made)
    ]
    assert 0 < off(*moves) < 5 * rounding**0.5


@pytest.mark.parametrize("numerics", [{"precision": "bf16"}, {"precision": "fp16"}])
def test_a_search_that_is_resumed_goes_on_to_the_last_bit(numerics):
    whole, first, second = (searched("", accumulate=2, **numerics) for _ in range(3))
    for task in (whole, first, second):
        if task.scaler is not None:
            task.scaler.interval = 2  # so that the scale changes within four steps
    run(whole, 4)
    run(first, 3)
    tensors, values = first.state()
    second.restore({g: {n: t.clone() for n, t in m.items()} for g, m in tensors.items()}, values)
    second.begin(1)
    second.step(1, 1)
    assert equal_states_of_steps(whole, second)
    assert ("scaler" in tensors) == (numerics["precision"] == "fp16")
    if whole.scaler is not None:
        assert float(whole.scaler.scale) != float(Scaler(torch.device("cpu")).scale)


def equal_states_of_steps(a, b):
    """Whether everything but what an epoch's end clears agrees."""
    for task in (a, b):
        task.session.train_meter.clear(), task.session.valid_meter.clear()
    return equal_states(a, b)


def test_a_retraining_that_is_resumed_goes_on_to_the_last_bit():
    whole, first = (retrained(steps_=k, double=False, precision="fp16") for k in (3, 2))
    second = retrained(steps_=0, double=False, precision="fp16")
    tensors, values = first.state()
    second.restore({g: {n: t.clone() for n, t in m.items()} for g, m in tensors.items()}, values)
    second.step(1, 2)
    assert equal_states(whole, second)


@pytest.mark.parametrize(
    ("body", "numerics", "reason"),
    [
        ("step = alternating(order = second)", {"precision": "fp16"}, "leaves the range of fp16"),
        ("step = implicit(terms = 2, scale = 0.05)", {"precision": "fp16"}, "leaves the range"),
        (
            "sampler = gumbel(tau = 1)\n  step = tempered",
            {"precision": "fp16"},
            "keeps a mean of gradients",
        ),
        ("freeze = alignment(every = 1, below = 0.2)", {"precision": "fp16"}, "may overflow"),
        ("perturb = adversarial(eps = 0.03)", {"precision": "fp16"}, "may overflow"),
        ("align = layers(weight = 0.1)", {"precision": "bf16"}, "bf16 rounds away"),
        ("step = alternating(order = second, hessian = finite)", {"precision": "bf16"}, "rounds"),
        ("step = alternating(order = unrolled)", {"accumulate": 2}, "keeps the graph of the whole"),
    ],
)
def test_what_is_refused(body, numerics, reason):
    made = plan("mine", text=recipe(body))
    assert reason in refused(made.recipe, Numerics(**numerics))
    option = (
        "--accumulate 2: `step"
        if "accumulate" in numerics
        else f"--precision {numerics['precision']}: `"
    )
    with pytest.raises(PlanError) as error:
        check_numerics(made, Options(**numerics))
    assert str(error.value).startswith(option)


@pytest.mark.parametrize(
    "body", ["step = alternating(order = second)", "freeze = alignment(every = 1, below = 0.2)"]
)
def test_what_bf16_has_the_range_for_runs(body):
    made = plan("mine", text=recipe(body))
    assert refused(made.recipe, Numerics(precision="bf16")) is None
    task = searched(body, precision="bf16")
    steps(task, 1)
    assert not task.broken()


def test_training_settings_say_their_own_precision():
    text = TEXT.replace("train short {", "train short {\n  precision = bf16")
    train = plan(text=text).train
    assert Options().training(train).precision == "bf16"
    assert Options(precision="float32").training(train).precision == "float32"
    assert Options().search.precision == "float32"
    assert Options().training(plan().train).precision == "float32"


def test_under_autocast_the_supernet_runs_as_it_is_emitted():
    made = plan()
    for precision, wanted in ((None, "balanced"), ("float32", "balanced"), ("bf16", "reference")):
        task = searching(made, inputs(), Options(precision=precision))
        assert task.session.supernet.profile.name == wanted


# --- the scale of fp16 --------------------------------------------------------------------------


def test_the_scale_goes_as_that_of_torch():
    """A model whose gradients overflow now and then, by `torch.amp.GradScaler` and here."""
    torch.manual_seed(0)
    given = [torch.tensor(v) for v in (1.0, float("inf"), 2.0, 1.0, 3.0, 1.0, 1.0, float("inf"))]
    x = torch.randn(3)
    ours, theirs = (nn.Parameter(torch.ones(3)) for _ in range(2))
    component = Component(
        "sgd", tuple({"lr": 1, "momentum": Fraction(9, 10), "nesterov": False}.items())
    )
    mine = optimizers.build(component, {"w": ours}, skips=True)
    sgd = torch.optim.SGD([theirs], lr=0.1, momentum=0.9, fused=True)
    scaler = Scaler(torch.device("cpu"), interval=3)
    wanted = torch.amp.GradScaler("cpu", growth_interval=3)
    for factor in given:
        found = optimizers.gradients(scaler.scaled((ours * x).sum() * factor), {"w": ours})
        found = scaler.unscaled(found)
        bad = scaler.look(found)
        optimizers.move(mine, {"w": ours}, found, lr=0.1, decay=0.0, clip=None, bad=bad)
        scaler.update()
        sgd.zero_grad()
        wanted.scale((theirs * x).sum() * factor).backward()
        wanted.step(sgd)
        wanted.update()
        assert float(scaler.scale) == wanted.get_scale()
        assert torch.equal(ours, theirs)
    assert int(scaler.good) == wanted.state_dict()["_growth_tracker"]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_an_optimizer_that_skips_is_the_other_where_nothing_is_skipped(name):
    args = {"momentum": Fraction(9, 10), "nesterov": True}
    if name != "sgd":
        args = {"betas": (Fraction(1, 2), Fraction(999, 1000)), "eps": Fraction(1, 10**8)}
    component = Component(name, tuple(args.items()))
    torch.manual_seed(0)
    start = torch.randn(5, dtype=torch.float64)
    good = [torch.randn(5, dtype=torch.float64) for _ in range(4)]
    found = []
    for skips in (False, True):
        w = nn.Parameter(start.clone())
        made = optimizers.build(component, {"w": w}, skips=skips)
        for k, slope in enumerate(good):
            # Moves that are skipped leave no trace, the first of all included.
            if skips and k in (0, 2):
                worthless = torch.full_like(slope, float("nan"))
                one = torch.ones(())
                optimizers.move(made, {"w": w}, {"w": worthless}, lr=0.1, decay=0.01, bad=one)
            bad = torch.zeros(()) if skips else None
            given = {"w": slope.clone()}  # clipped in place
            optimizers.move(made, {"w": w}, given, lr=0.1, decay=0.01, clip=1.0, bad=bad)
        found.append((w.detach(), optimizers.state(made, {"w": w})))
    assert (found[0][0] - found[1][0]).abs().max() < 1e-14
    assert found[0][1].keys() == found[1][1].keys()
    for key, value in found[0][1].items():
        assert torch.allclose(value.double(), found[1][1][key].double(), rtol=1e-13)


@pytest.mark.parametrize("body", ["", "step = joint"])
def test_no_step_waits_for_the_device(body):
    tasks = [
        searched(body, **n)
        for n in ({}, {"precision": "bf16"}, {"precision": "fp16"}, {"accumulate": 4})
    ]
    found = []
    for task in tasks:
        steps(task, 1)
        # Adam counts its steps on the host.
        host = [s["step"] for s in task.session.arch_optimizer.state.values()]
        found.append(count(task.session.step, host).syncs)
    assert found == [0, 0, 0, 0]


def test_an_overflow_skips_the_move_and_lowers_the_scale():
    task = searched("", precision="fp16")
    steps(task, 1)
    session, before = task.session, {n: w.detach().clone() for n, w in task.session.weights.items()}
    alphas = {n: a.detach().clone() for n, a in session.alphas.items()}
    task.scaler.scale.fill_(2.0**40)
    task.begin(0)
    task.step(0, 1)
    assert float(task.scaler.scale) == 2.0**39
    assert all(torch.equal(w, before[n]) for n, w in session.weights.items())
    assert all(torch.equal(a, alphas[n]) for n, a in session.alphas.items())
    assert not task.broken()
