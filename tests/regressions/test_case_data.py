"""Public bug reports about splits, batches and metrics."""

import math

import numpy as np
import pytest
import torch
from small_runs import TEXT, copies, equal, inputs, plan, retraining, run, search
from spaces_for_tests import bundled_space, images, space_of
from torch import nn
from torch.nn import functional as F

from nasdsl import driver
from nasdsl.codegen.discrete import Discrete
from nasdsl.codegen.supernet import Supernet
from nasdsl.diagnostics.model import CompileError
from nasdsl.ir import cost
from nasdsl.ir.formats import forms
from nasdsl.oneshot.metrics import evaluate, top_k
from nasdsl.source import Source
from nasdsl.training import run as runs
from nasdsl.training.data import inputs as making
from nasdsl.training.data.augment import build
from nasdsl.training.data.batches import Evaluation, Images, Stream
from nasdsl.training.data.sources import DataError
from nasdsl.training.data.splits import Splits, fraction_range


@pytest.mark.parametrize("n", [7, 50_001, 1, 2, 3])
def test_two_halves_of_an_odd_number_are_disjoint_and_complete(n):
    """C39: neither a crash nor a lost image."""
    first, second = fraction_range(n, 0, 0.5), fraction_range(n, 0.5, 1)
    assert [*first, *second] == list(range(n))
    assert abs(len(first) - len(second)) <= 1


def test_validation_images_are_never_augmented():
    """C40: two passes are equal, and the stream that drives alphas shows the images themselves."""
    text = TEXT.replace("classes = 4\n}", "classes = 4\n  augment = crop(8, pad = 4) >> flip\n}")
    made = plan(text=text)
    given = inputs()
    task = search(made, given)
    plain = given.train.take(torch.arange(64))[0]

    def known(x):
        return (x[:, None] == plain[None]).flatten(2).all(2).any(1)

    for _ in range(4):
        assert known(task.valid.next_batch()[0]).all()
    trained = torch.cat([task.train.next_batch()[0] for _ in range(4)])
    assert not known(trained).all()
    batches = Evaluation(given.train, given.parts.search_valid, batch_size=8)
    for (a, _), (b, _) in zip(batches, batches, strict=True):
        assert torch.equal(a, b)


HALVES = """nas 1
split s {{
  search.train  = data[0%..{0}]
  search.valid  = data[{0}..100%]
  retrain.train = data[0%..100%]
}}
"""


@pytest.mark.parametrize("cut", ["100%", "0%", "120%", "-10%"])
def test_a_split_that_leaves_a_part_empty_is_refused(cut):
    """C41: at the latest when the data is read, never at the first step on it."""
    with pytest.raises((CompileError, DataError)):
        loaded = driver.load(Source.of("halves.nas", HALVES.format(cut)))
        settings = loaded.program.settings("split", "s")
        given = inputs()

        class Found:
            train_y = given.train.y.numpy()

        parts = making.split_of(settings, Found)
        task_inputs = inputs(parts=parts)
        search(plan(), task_inputs)


def test_an_empty_part_is_refused_by_every_reader_of_it():
    """C41: no stream and no evaluation over nothing."""
    given = inputs()
    with pytest.raises(DataError, match="no images"):
        Stream(given.train, [], batch_size=2, seed=0, name="search.valid")
    with pytest.raises(DataError, match="no images"):
        Evaluation(given.train, np.zeros(0, np.int64), batch_size=2)


def test_search_reads_its_two_parts_and_the_test_images_are_read_at_the_end(monkeypatch):
    """C42: which images are read when, over a whole run."""
    made, given = plan("hard"), inputs()
    reads = []
    take = Images.take

    def recording(self, indices, *args):
        reads.append(("test" if self is given.test else "train", set(indices.tolist())))
        return take(self, indices, *args)

    monkeypatch.setattr(Images, "take", recording)
    task = search(made, given)
    run(task)
    task.result()
    parts = given.parts
    searched = {*parts.search_train.tolist(), *parts.search_valid.tolist()}
    assert {part for part, _ in reads} == {"train"}
    assert set().union(*(i for _, i in reads)) == searched
    reads.clear()
    outcome = runs.execute(made, given, None, runs.Options())
    order = [part for part, _ in reads]
    assert order.count("test") == 1 and order[-1] == "test"
    assert reads[-1][1] == set(range(len(given.test)))
    again = {i for part, found in reads if part == "train" for i in found}
    assert again == searched | set(parts.retrain_train.tolist())
    assert set(outcome.retrain["test"]) == {"loss", "accuracy"}


AUX = TEXT.replace("batch     = 16\n", "batch     = 64\n  aux       = 0.4\n")


def test_an_epoch_of_65_images_in_batches_of_64_ends_well_with_an_auxiliary_head():
    """C43: one left-over image would break batch normalisation on 1 x 1 maps."""
    text = AUX.replace("image(3, 8, 8)", "image(3, 32, 32)")
    made = plan(text=text)
    parts = Splits(
        search_train=np.arange(8), search_valid=np.arange(8, 16), retrain_train=np.arange(65)
    )
    given = inputs(65, size=32, tests=1, parts=parts)
    genotype = search(made, given).genotype()
    task = retraining(made, genotype, given)
    assert task.net.has_aux
    assert task.begin(0) == 1
    (record,) = run(task, 1)
    assert math.isfinite(record["train"]["loss"])
    assert task.net(torch.zeros(1, 3, 32, 32)).shape == (1, 4)
    assert math.isfinite(task.measure("test")[0])


class Fixed(nn.Module):
    """Logits that depend on the mean of the image alone."""

    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def forward(self, x):
        level = x.mean((1, 2, 3))
        return torch.stack([level * (c + 1) for c in range(self.classes)], dim=1)


@pytest.mark.parametrize("classes", [1, 10])
def test_evaluation_weighs_every_image_alike(classes):
    """C44: five images in batches of four, the last one alone."""
    given = inputs(8, classes=classes)
    chosen = [0, 1, 2, 3, 7]
    batches = Evaluation(given.train, chosen, batch_size=4)
    model = Fixed(classes)
    assert [model(x).shape for x, _ in batches] == [(4, classes), (1, classes)]
    loss, accuracy = evaluate(model, batches)
    x, y = given.train.take(torch.tensor(chosen))
    assert loss == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-6)
    hits = (model(x).argmax(1) == y).sum().item()
    assert accuracy == pytest.approx(100 * hits / 5)


@pytest.mark.parametrize("classes", [1, 10])
def test_one_image_keeps_its_batch_dimension(classes):
    """C44: nothing squeezes it away."""
    made = bundled_space("nasbench201.nas", "nasbench201", C=4, n=1, data=images(3, 8, classes))
    net = Supernet(made).eval()
    assert net(torch.zeros(1, 3, 8, 8), net.uniform()).shape == (1, classes)


def test_top_five_of_two_classes_is_all():
    """C45: k is at most the number of classes; strided logits are no problem."""
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 1, 0])
    assert top_k(logits, y, 5).item() == 100
    assert top_k(logits, y, 1).item() == 25 * (logits.argmax(1) == y).sum().item()
    many = torch.arange(40.0).reshape(10, 4).t()
    assert not many.is_contiguous()
    y = torch.tensor([9, 5, 4, 0])
    assert top_k(many, y, 5).item() == 50
    assert top_k(many, y, 1).item() == 25


V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)


@pytest.mark.parametrize(("classes", "params"), [(10, 3_349_342), (100, 3_401_272)])
def test_the_classifier_follows_the_data_set(classes, params):
    """C46: DARTS_V2 with C = 36 and 20 layers, for 10 and for 100 classes."""
    darts = bundled_space("darts.nas", "darts", C=4, layers=3)
    genotype = forms.parse(V2, darts)
    data = images(3, 32, classes)
    net = bundled_space("darts.nas", "darts", C=4, layers=3, data=data, genotype=genotype).target
    assert net.out.dims == (classes,)
    assert cost.of_network(net).params == params


@pytest.mark.parametrize("classes", [100, 120])
def test_an_untrained_network_guesses(classes):
    """C46: its loss is that of as many classes as the data has."""
    data = images(3, 16, classes)
    space = bundled_space("nasbench201.nas", "nasbench201", C=8, n=1, data=data)
    text = "|{0}~0|+|{0}~0|{0}~1|+|{0}~0|{0}~1|{0}~2|".format("nor_conv_3x3")
    genotype = forms.parse(text, space)
    net = bundled_space(
        "nasbench201.nas", "nasbench201", C=8, n=1, data=data, genotype=genotype
    ).target
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(64, 3, 16, 16, generator=draw)
    y = torch.randint(classes, (64,), generator=draw)
    loss = F.cross_entropy(Discrete(net).train()(x), y)
    assert loss.item() == pytest.approx(math.log(classes), abs=0.25)


def test_a_fixed_classifier_that_does_not_fit_the_data_is_refused():
    """C46: ten outputs for four classes are an error before anything is trained."""
    made, given = plan(), inputs(classes=3)
    with pytest.raises(ValueError, match="classes"):
        runs.execute(made, given, None, runs.Options())


def test_augmentation_of_one_stream_leaves_the_other_alone():
    """C40: the order of validation images does not depend on what training draws."""
    given = inputs()
    pipeline = build([("flip", (), {}), ("crop", (), {"size": 8, "pad": 2})])
    orders = []
    for augment in (None, pipeline):
        train = Stream(given.train, range(32), batch_size=8, seed=0, name="t", augment=augment)
        valid = Stream(given.train, range(32, 64), batch_size=8, seed=0, name="v")
        for _ in range(3):
            train.next_batch()
        orders.append({str(i): valid.next_batch()[0] for i in range(4)})
    assert equal(copies(orders[0]), copies(orders[1]))


def test_spaces_of_one_class_compile():
    """C44: a single output is a column, not a vector."""
    text = (
        "nas 1\nspace s {\n  width = 4\n  input image(3, 8, 8)\n  stem conv(3) >> bn\n"
        "  stage one_of {relu, tanh}\n  head global_avg_pool >> linear(1)\n}\n"
    )
    net = Supernet(space_of(text, "s"))
    assert net(torch.zeros(1, 3, 8, 8).normal_(), net.uniform()).shape == (1, 1)
