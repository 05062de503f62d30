"""What recipes, data sets, splits, training settings and suites may say.

One line per component: its slot, its parameters with types and defaults. How a component
behaves stands in `nasdsl.oneshot`; a test checks that what both name agrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any

#: A parameter without a default.
REQUIRED: Any = object()


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter: `type` is one of the words checked in `lowering.config`."""

    name: str
    type: str
    default: Any = REQUIRED
    #: Legal words, where the type is `word`.
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spec:
    """A component: its slot, parameters, what it does, and whether it runs today."""

    name: str
    params: tuple[Param, ...]
    doc: str
    #: Other parameters of its own making are accepted (arguments of a plug-in, say).
    runs: bool = False
    positional: int = 1


def _spec(name: str, doc: str, *params: Param, runs: bool = False, positional: int = 1) -> Spec:
    return Spec(name, params, doc, runs, positional)


P = Param
_ZERO = Fraction(0)
_EVERY = P("every", "int", Fraction(1))
_START = P("start", "time", _ZERO)
_CELLS = P("cells", "names", None)
#: Which optimizer sees a regularizer; the default is what the method's paper does.
_ON = P("on", "word", "arch", ("arch", "weights", "both"))
_LR = P("lr", "schedule")
_DECAY = P("decay", "schedule", _ZERO)
_CLIP = P("clip", "number", None)
_INIT = P("init", "component:init", None)
#: Of entries of a report: what is measured, and by which factor of the suite.
_REPORTED = P("measure", "measure", None)
_BY = P("by", "name", None)

SLOTS: Mapping[str, Mapping[str, Spec]] = MappingProxyType(
    {
        slot: MappingProxyType({s.name: s for s in specs})
        for slot, specs in {
            "sampler": (
                _spec("softmax", "mix = softmax(alpha)", runs=True),
                _spec("sigmoid", "mix = sigmoid(alpha), each option for itself", runs=True),
                _spec(
                    "gumbel",
                    "softmax of (log softmax(alpha) + Gumbel noise) / tau; hard: one-hot forward",
                    P("tau", "positive"),
                    P("hard", "bool", False),
                    runs=True,
                ),
                _spec("dirichlet", "mix ~ Dirichlet(elu(alpha) + 1)", runs=True),
                _spec(
                    "reinmax",
                    "one-hot with a second-order gradient",
                    P("tau", "positive"),
                    runs=True,
                ),
                _spec(
                    "compose", "the mix of one is the logits of the next", runs=True, positional=9
                ),
                _spec("uniform_path", "one uniformly drawn option per decision", runs=True),
                _spec("fair_path", "every option once before one update", runs=True),
                _spec("two_path", "two drawn options per decision", runs=True),
            ),
            "mix": (
                _spec(
                    "attention",
                    "self-attention over the rows of alphas, before the sampler",
                    runs=True,
                ),
                _spec(
                    "explore",
                    "adds weights that the input of each edge asks for, times `weight`",
                    P("weight", "schedule"),
                    runs=True,
                ),
                _spec(
                    "dropout",
                    "drops options of the mix in training steps, the rest is rescaled",
                    P("p", "schedule"),
                    runs=True,
                ),
            ),
            "perturb": (
                _spec(
                    "random",
                    "uniform noise on the mix of the weight step",
                    P("eps", "schedule"),
                    runs=True,
                ),
                _spec(
                    "adversarial",
                    "projected gradient ascent on the mix of the weight step",
                    P("eps", "schedule"),
                    P("steps", "int", Fraction(7)),
                    runs=True,
                ),
            ),
            "regularize": (
                _spec(
                    "zero_one",
                    "pushes sigmoid weights to 0 or 1",
                    P("weight", "schedule"),
                    P("norm", "word", "l2", ("l1", "l2")),
                    _ON,
                    runs=True,
                ),
                _spec("beta", "mean logsumexp of alpha", P("weight", "schedule"), _ON, runs=True),
                _spec("drnas_l2", "norm of alpha", P("weight", "schedule"), _ON, runs=True),
                _spec(
                    "drnas_kl", "KL to the flat Dirichlet", P("weight", "schedule"), _ON, runs=True
                ),
                _spec("entropy", "entropy of the mix", P("weight", "schedule"), _ON, runs=True),
                _spec(
                    "flops",
                    "log of the expected multiply-adds, above the target",
                    P("weight", "schedule"),
                    P("target", "positive", None),
                    _ON,
                    runs=True,
                ),
                _spec(
                    "params",
                    "log of the expected parameters, above the target",
                    P("weight", "schedule"),
                    P("target", "positive", None),
                    _ON,
                    runs=True,
                ),
                _spec(
                    "latency",
                    "log of the expected latency of a table in ms, above the target",
                    P("weight", "schedule"),
                    P("target", "positive", None),
                    P("device", "text"),
                    _ON,
                    runs=True,
                ),
            ),
            "align": (
                _spec(
                    "layers",
                    "aligns gradients of alpha between layers",
                    P("weight", "schedule"),
                    P("eps", "number", Fraction(1, 10000)),
                    P("form", "word", "corr", ("corr", "signcorr")),
                    _CELLS,
                    runs=True,
                ),
            ),
            "weights": (
                _spec(
                    "sgd",
                    "stochastic gradient descent",
                    _LR,
                    P("momentum", "number", _ZERO),
                    P("nesterov", "bool", False),
                    _DECAY,
                    _CLIP,
                    _START,
                    _INIT,
                    runs=True,
                ),
                _spec(
                    "adam",
                    "Adam with coupled decay",
                    _LR,
                    P("betas", "pair", (Fraction(9, 10), Fraction(999, 1000))),
                    P("eps", "number", Fraction(1, 10**8)),
                    _DECAY,
                    _CLIP,
                    _START,
                    _INIT,
                    runs=True,
                ),
                _spec(
                    "adamw",
                    "Adam with decoupled decay",
                    _LR,
                    P("betas", "pair", (Fraction(9, 10), Fraction(999, 1000))),
                    P("eps", "number", Fraction(1, 10**8)),
                    _DECAY,
                    _CLIP,
                    _START,
                    _INIT,
                    runs=True,
                ),
            ),
            "init": (
                _spec("normal", "N(0, std)", P("std", "number"), runs=True),
                _spec("zeros", "all zero", runs=True),
            ),
            "step": (
                _spec(
                    "alternating",
                    "architecture step, then weight step",
                    P("order", "word", "first", ("first", "second", "unrolled")),
                    P("hessian", "word", "exact", ("exact", "finite")),
                    runs=True,
                    positional=0,
                ),
                _spec("joint", "one step for both on the same batch", runs=True),
                _spec(
                    "implicit",
                    "implicit gradient by a Neumann series",
                    P("terms", "int"),
                    P("scale", "number"),
                    runs=True,
                ),
                _spec("weights_only", "weights alone are trained", runs=True),
                _spec(
                    "tempered",
                    "alternating; the sampler's temperature follows the noise of the gradients",
                    P("high", "positive", Fraction(1)),
                    P("low", "positive", Fraction(1, 10)),
                    P("memory", "fraction", Fraction(9, 10)),
                    runs=True,
                    positional=0,
                ),
                _spec(
                    "stand_alone", "architectures trained one by one", P("epochs", "int"), runs=True
                ),
            ),
            "freeze": (
                _spec(
                    "alignment",
                    "freezes operations whose gradients disagree",
                    _EVERY,
                    P("below", "number"),
                    runs=True,
                ),
            ),
            "stop": (
                _spec(
                    "eigenvalue",
                    "stops when the curvature in alpha rises",
                    _EVERY,
                    _START,
                    P("window", "int", Fraction(5)),
                    P("delta", "int", Fraction(4)),
                    P("factor", "number", Fraction(13, 10)),
                    P("then", "any", None),
                    runs=True,
                ),
                _spec(
                    "count",
                    "stops on too many of an operation",
                    P("op", "name"),
                    _CELLS,
                    P("above", "int"),
                    _START,
                    runs=True,
                ),
                _spec(
                    "plateau",
                    "stops when the architecture no longer changes",
                    P("epochs", "int"),
                    _START,
                    runs=True,
                ),
            ),
            "measure": (
                _spec("entropy", "mean entropy of the rows, in nats; no pass", _EVERY, runs=True),
                _spec(
                    "skip_share",
                    "mean weight of skip connections where offered; no pass",
                    _EVERY,
                    runs=True,
                ),
                _spec(
                    "gap",
                    "accuracy of the mix less that of the strongest architecture, one batch; "
                    "2 forward passes",
                    _EVERY,
                    runs=True,
                ),
                _spec(
                    "gradient_match",
                    "mean cosine of training and validation gradients of options (OLES); "
                    "2 forward and backward passes",
                    _EVERY,
                    runs=True,
                ),
                _spec(
                    "alignment",
                    "mean cosine of layers' gradients in their mixes (Lambda-DARTS); "
                    "1 forward and backward pass",
                    _EVERY,
                    runs=True,
                ),
                _spec(
                    "eigenvalue",
                    "largest eigenvalue of the validation loss's Hessian in alpha; "
                    "1 pass and a double backward per iteration",
                    # Measured every epoch it can cost more than the search itself.
                    P("every", "int", Fraction(10)),
                    P("iterations", "int", Fraction(15)),
                    runs=True,
                    positional=0,
                ),
            ),
            "partial": (
                _spec(
                    "channels",
                    "a part of the channels through the mixed operation",
                    P("fraction", "fraction"),
                    P("edge_norm", "bool", False),
                    runs=True,
                ),
            ),
            "entangle": (
                _spec(
                    "kernels", "one kernel of the largest size serves the smaller ones", runs=True
                ),
                _spec(
                    "widths", "one weight of the largest width serves the smaller ones", runs=True
                ),
            ),
            "lora": (
                _spec(
                    "adapters",
                    "low-rank adapters",
                    P("rank", "int"),
                    P("on", "any", None),
                    runs=True,
                ),
            ),
            "prune": (
                _spec("top", "keeps the n best options of each decision", P("n", "int"), runs=True),
                _spec(
                    "drop",
                    "drops a fraction of the original options",
                    P("fraction", "fraction"),
                    runs=True,
                ),
            ),
            "select": (
                _spec(
                    "argmax",
                    "the option with the largest mix weight",
                    P("limit", "any", None),
                    _CELLS,
                    runs=True,
                    positional=0,
                ),
                _spec(
                    "threshold",
                    "options whose weight exceeds a value",
                    P("value", "number"),
                    P("at_most", "int", None),
                    runs=True,
                ),
                _spec(
                    "greedy",
                    "one edge at a time (SGAS)",
                    P("criterion", "int", Fraction(1)),
                    _START,
                    _EVERY,
                    P("history", "int", Fraction(4)),
                    P("batch_step", "int", _ZERO),
                    runs=True,
                    positional=0,
                ),
                _spec(
                    "perturbation",
                    "the option whose removal hurts most (DARTS-PT)",
                    P("metric", "word", "accuracy", ("accuracy", "loss")),
                    _EVERY,
                    P("order", "word", "random", ("random", "forward")),
                    P("norm", "word", "batch", ("batch", "running")),
                    runs=True,
                    positional=0,
                ),
                _spec(
                    "evolution",
                    "evolution over the trained supernet",
                    P("population", "int"),
                    P("rounds", "int"),
                    P("parents", "int", None),
                    P("crossover", "int", None),
                    P("mutation", "int", None),
                    P("rate", "number", None),
                    P("algorithm", "word", "plain", ("plain", "nsga2")),
                    P("score", "any"),
                    P("calibrate", "int", None),
                    runs=True,
                    positional=0,
                ),
                _spec(
                    "random",
                    "the best of drawn architectures",
                    P("samples", "int"),
                    P("score", "any"),
                    P("distinct", "bool", False),
                    P("calibrate", "int", None),
                    runs=True,
                ),
                _spec(
                    "regularized",
                    "evolution in which the oldest dies",
                    P("samples", "int"),
                    P("population", "int", Fraction(100)),
                    P("parents", "int", Fraction(25)),
                    P("score", "any"),
                    P("calibrate", "int", None),
                    runs=True,
                ),
                _spec(
                    "local",
                    "to better neighbours, from several starts",
                    P("samples", "int"),
                    P("score", "any"),
                    P("calibrate", "int", None),
                    runs=True,
                ),
                _spec(
                    "halving",
                    "successive halving",
                    P("samples", "int"),
                    P("eta", "int"),
                    P("epochs", "any"),
                    P("score", "any"),
                    runs=True,
                ),
            ),
            "loss": (
                _spec(
                    "cross_entropy",
                    "mean cross-entropy",
                    P("smoothing", "number", _ZERO),
                    runs=True,
                ),
            ),
            "augment": (
                _spec(
                    "crop",
                    "random crop of a padded image",
                    P("size", "int"),
                    P("pad", "int", _ZERO),
                    runs=True,
                ),
                _spec("flip", "left-right flip", P("p", "number", Fraction(1, 2)), runs=True),
                _spec("cutout", "zeroes a square", P("length", "int"), runs=True),
                _spec(
                    "random_resized_crop",
                    "crop of random size and shape",
                    P("size", "int"),
                    runs=True,
                ),
                _spec(
                    "color_jitter",
                    "random brightness, contrast, saturation, hue",
                    P("brightness", "number", _ZERO),
                    P("contrast", "number", _ZERO),
                    P("saturation", "number", _ZERO),
                    P("hue", "number", _ZERO),
                    runs=True,
                    positional=4,
                ),
            ),
            "source": (
                _spec(
                    "fashion16", "10,000 + 2,000 Fashion-MNIST images of 16x16, shipped", runs=True
                ),
                _spec("digits", "1,797 digits of 8x8 (scikit-learn)", runs=True),
                _spec(
                    "fashion_mnist", "Fashion-MNIST, IDX files", P("path", "text", None), runs=True
                ),
                _spec("mnist", "MNIST, IDX files", P("path", "text", None), runs=True),
                _spec(
                    "idx",
                    "a folder of IDX files",
                    P("path", "text", None),
                    P("classes", "int", None),
                    runs=True,
                ),
                _spec(
                    "cifar10",
                    "CIFAR-10: binary batches, folders or npz",
                    P("path", "text", None),
                    runs=True,
                ),
                _spec(
                    "cifar100",
                    "CIFAR-100: binary batches, folders or npz",
                    P("path", "text", None),
                    runs=True,
                ),
                _spec(
                    "torchvision",
                    "a data set by its torchvision name",
                    P("name", "text"),
                    runs=True,
                ),
                _spec(
                    "folder",
                    "train/ and test/ with a folder per class",
                    P("path", "text", None),
                    P("classes", "int", None),
                    P("size", "int", None),
                    P("memory", "number", None),
                    P("workers", "number", None),
                    runs=True,
                ),
                _spec(
                    "npz",
                    "x_train, y_train, x_test, y_test",
                    P("path", "text"),
                    P("classes", "int", None),
                    runs=True,
                ),
                _spec(
                    "csv",
                    "a table: numbers, and a column with the class",
                    P("path", "text"),
                    P("label", "text", None),
                    P("test", "text", None),
                    P("classes", "int", None),
                    runs=True,
                ),
                _spec(
                    "parquet",
                    "the same, from a Parquet file (pyarrow)",
                    P("path", "text"),
                    P("label", "text", None),
                    P("test", "text", None),
                    P("classes", "int", None),
                    runs=True,
                ),
                _spec(
                    "imagenet16",
                    "ImageNet16: pickled batches; 120 classes are ImageNet16-120",
                    P("path", "text", None),
                    P("classes", "int", None),
                    runs=True,
                ),
                _spec(
                    "synthetic",
                    "two classes told by a pattern, with a planted shortcut",
                    P("count", "int", None),
                    P("size", "int", None),
                    P("signal", "int", None),
                    P("shortcut", "int", None),
                    P("strength", "number", None),
                    P("test_strength", "number", None),
                    P("noise", "number", None),
                    P("seed", "int", None),
                    runs=True,
                    positional=0,
                ),
                _spec(
                    "waveforms",
                    "four classes of series, told by the shape of a piece",
                    P("count", "int", None),
                    P("length", "int", None),
                    P("noise", "number", None),
                    P("seed", "int", None),
                    runs=True,
                    positional=0,
                ),
                _spec(
                    "interactions",
                    "three classes of rows, told by products of columns",
                    P("count", "int", None),
                    P("columns", "int", None),
                    P("noise", "number", None),
                    P("seed", "int", None),
                    runs=True,
                    positional=0,
                ),
                _spec("openml", "a data set of OpenML by number", P("id", "int")),
                _spec("text", "characters of a text file", P("path", "text")),
                _spec(
                    "taskonomy", "a task of Taskonomy", P("task", "text"), P("pieces", "int", None)
                ),
            ),
            "report": (
                _spec(
                    "mean",
                    "what stands for a cell: the mean over seeds, then over settings",
                    _REPORTED,
                    _BY,
                    runs=True,
                ),
                _spec("std", "its deviation, over settings or seeds", _REPORTED, _BY, runs=True),
                _spec(
                    "best",
                    "the best of the settings in place of the mean, labelled so",
                    _REPORTED,
                    runs=True,
                ),
                _spec(
                    "rank",
                    "ranks by the mean, or by the best",
                    P("of", "word", "mean", ("mean", "best")),
                    _BY,
                    runs=True,
                ),
                _spec("kendall_tau", "whether benchmarks, or levels, rank alike", _BY, runs=True),
                _spec("spearman", "the same by Spearman's rho", _BY, runs=True),
                _spec("friedman", "whether optimizers differ at all", runs=True),
                _spec(
                    "precision_at",
                    "the share of the best `k` at one level among the best at another",
                    P("k", "int"),
                    P("by", "name", "retrain"),
                    runs=True,
                ),
            ),
            "normalize": (
                _spec(
                    "channels",
                    "subtract mean, divide by std, per channel",
                    P("mean", "any"),
                    P("std", "any"),
                    runs=True,
                    positional=0,
                ),
                _spec("measured", "mean and std of the training part of the split", runs=True),
            ),
        }.items()
    }
)

#: Slots of a kind of block, with the type of their value.
BLOCKS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "recipe": MappingProxyType(
            {
                "epochs": "int",
                "batch": "int",
                "loss": "component:loss",
                "augment": "augment",
                "drop_path": "schedule",
                "drop_op": "any",
                "aux": "number",
                "sampler": "component:sampler",
                "mix": "total:mix",
                "perturb": "component:perturb",
                "regularize": "total:regularize",
                "align": "component:align",
                "weights": "component:weights",
                "arch": "component:weights",
                "step": "component:step",
                "freeze": "component:freeze",
                "stop": "component:stop",
                "measure": "total:measure",
                "partial": "component:partial",
                "aux_skip": "schedule",
                "entangle": "component:entangle",
                "lora": "component:lora",
                "prune": "prune",
                "select": "component:select",
                "carry": "any",
            }
        ),
        "train": MappingProxyType(
            {
                "epochs": "int",
                "batch": "int",
                "weights": "component:weights",
                "loss": "component:loss",
                "augment": "augment",
                "drop_path": "schedule",
                "aux": "number",
                "precision": "precision",
            }
        ),
        "dataset": MappingProxyType(
            {
                "source": "component:source",
                "shape": "shape",
                "classes": "int",
                "normalize": "component:normalize",
                "augment": "augment",
                "labels": "any",
            }
        ),
        "split": MappingProxyType(
            {
                "search.train": "range",
                "search.valid": "range",
                "retrain.train": "range",
                "retrain.valid": "range",
            }
        ),
        "suite": MappingProxyType(
            {
                "spaces": "refs:space",
                "recipes": "refs:recipe",
                "datasets": "refs:dataset",
                "splits": "refs:split",
                "seeds": "seeds",
                "retrain": "refs:train",
                "choose": "choose",
                "report": "list:report",
                "disjoint": "bool",
                "onto": "refs:space",
            }
        ),
    }
)

#: What may decide between runs; test data may not.
MEASURED = tuple(
    f"{part}.{what}"
    for part in ("search.train", "search.valid", "retrain.train", "retrain.valid")
    for what in ("loss", "accuracy", "error")
)
#: What a suite may report.
REPORTED = (*(f"test.{what}" for what in ("accuracy", "error", "loss")), *MEASURED)

#: What `precision` may be.
PRECISIONS = ("float32", "bf16", "fp16")

FORMS = ("constant", "linear", "cosine", "exponential")
