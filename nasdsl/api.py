"""The Python entry points; everything they return is documented where it is defined."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasdsl import driver
from nasdsl.driver import Loaded
from nasdsl.source import Source

if TYPE_CHECKING:
    from nasdsl.codegen.discrete import Discrete
    from nasdsl.codegen.fold import Folded
    from nasdsl.codegen.supernet import Supernet
    from nasdsl.training.run import Outcome


def load(path: str | Path | Source, *, plugins: Sequence[str | Path] = ()) -> Loaded:
    """A `.nas` file, a bundled one by name, or a Source, read and checked.

    `plugins` are Python files with components; they are run. Those of installed packages are found
    by themselves. Raises CompileError with every diagnostic, UnknownName, PluginError.
    """
    from nasdsl.ir.plugin_files import plugins as read

    return driver.load(path, plugins=read(plugins))


def compile(
    path: str | Path | Source | Loaded,
    space: str | None = None,
    *,
    mode: str = "dense",
    seed: int = 0,
    profile: str = "reference",
    **parameters: Any,
) -> Supernet:
    """The supernet of a space: a module `net(x, mix)`, `x (n, c, h, w)`, logits `(n, classes)`.

    `parameters` are the space's own (`C=8, layers=4`). `net.tables` says what a mix holds,
    `net.uniform()` gives one. `profile` says how it runs: `balanced`, `memory`, `launch` or
    `reference`; `balanced+bf16` stores what cells keep in half the bits, with inexact gradients;
    `compiled` calls `torch.compile` for each distinct cell, minutes before the first step.
    `net.under(profile)` is the same supernet in another.
    Raises CompileError, UnknownName, UnknownProfile, NotExecutable.
    """
    from nasdsl.codegen.supernet import Supernet

    return Supernet(_space(path, space, parameters), mode=mode, seed=seed, profile=profile)


def network(
    path: str | Path | Source | Loaded,
    genotype: str,
    space: str | None = None,
    *,
    aux: bool = False,
    seed: int = 0,
    **parameters: Any,
) -> Discrete:
    """The network that a genotype (text of a known format) names: a module `net(x)`.

    Raises CompileError, UnknownName, GenotypeError.
    """
    from nasdsl.codegen.discrete import Discrete
    from nasdsl.ir.formats import forms

    loaded = path if isinstance(path, Loaded) else driver.load(path)
    found = forms.parse(genotype, driver.space(loaded, space, parameters))
    made = driver.space(loaded, space, parameters, genotype=found)
    return Discrete(made.target, aux=aux, seed=seed)


def fold(net: Discrete | Supernet) -> Folded:
    """A copy of a network in evaluation mode with its batch-norms in its convolutions.

    `fold(network)(x)`, `fold(supernet)(x, mix)`; equal to the network, to rounding. Its weights
    take no gradients. Raises NotFoldable for a network in training mode.
    """
    from nasdsl.codegen.fold import fold

    return fold(net)


def search(
    path: str | Path | Source | Loaded,
    *,
    recipe: str | None = None,
    data: str | None = None,
    split: str | None = None,
    train: str | None = None,
    space: str | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    device: str = "cpu",
    profile: str = "balanced",
    data_dir: str | Path | None = None,
    retrain: bool = True,
    cuda_graph: bool = False,
    precision: str | None = None,
    accumulate: int = 1,
    deterministic: bool = False,
    changes: dict[str, Any] | None = None,
    **parameters: Any,
) -> Outcome:
    """Search, and retrain what was found; as `nasdsl run`, without its talk.

    Nothing is written without `folder`. `changes` are run lengths: `{"epochs": 10}`. With
    `cuda_graph` a step is recorded and replayed, where the recipe allows it. `precision` is
    `float32`, `bf16` or `fp16`, of forward passes; a batch is gone through in `accumulate` parts;
    with `deterministic` operators that may give another result the second time are refused.
    Raises CompileError, UnknownName, PlanError, DataError.
    """
    from nasdsl.fusion.profile import profile as profile_of
    from nasdsl.training import environment, plan, run
    from nasdsl.training.data import inputs

    loaded = path if isinstance(path, Loaded) else driver.load(path)
    made = plan.make(
        loaded,
        names={"space": space, "recipe": recipe, "dataset": data, "split": split, "train": train},
        parameters={k: str(v) for k, v in parameters.items()},
        changes={k: str(v) for k, v in (changes or {}).items()},
        seed=seed,
    )
    options = run.Options(
        device=environment.device_of(device),
        profile=profile_of(profile).name,
        data_dir=Path(data_dir) if data_dir is not None else None,
        retrain=retrain,
        cuda_graph=cuda_graph,
        precision=precision,
        accumulate=accumulate,
        deterministic=deterministic,
    )
    run.check_numerics(made, options)
    prepared = inputs.prepare(
        made.dataset, made.split, data_dir=options.data_dir, device=options.device
    )
    run.check_fit(made, prepared)
    place = run.begin(made, prepared, Path(folder), options) if folder is not None else None
    return run.execute(made, prepared, place, options)


def _space(path: Any, space: str | None, parameters: dict[str, Any]) -> Any:
    loaded = path if isinstance(path, Loaded) else driver.load(path)
    return driver.space(loaded, space, parameters)
