"""Which components of a recipe go together, and why others do not.

A rule is a fact about two slots. It speaks of what the components compute, so it holds for every
space; what a space must have is checked where the space is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nasdsl.ir.config import Settings, components

#: Samplers whose mix is one-hot: one path runs.
ONE_HOT = frozenset({"reinmax", "uniform_path", "fair_path", "two_path"})
#: Samplers that learn nothing: their mix does not depend on the alphas.
PATHS = frozenset({"uniform_path", "fair_path"})
#: Steps that move an architecture.
MOVES_ARCH = frozenset({"alternating", "joint", "implicit"})
#: Selection rules that read the mix.
READS_MIX = frozenset({"argmax", "threshold", "greedy", "perturbation"})


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two slots that do not go together, and why; the first is where to point."""

    slot: str
    other: str
    reason: str


def one_hot(recipe: Settings) -> bool:
    """Whether the sampler of a recipe runs one path."""
    found = components(recipe.get("sampler"))
    if not found:
        return False
    sampler = found[0]
    if sampler.name == "compose":
        parts = [c for _, v in sampler.args for c in components(v)]
        sampler = parts[-1] if parts else sampler
    return sampler.name in ONE_HOT or (sampler.name == "gumbel" and bool(sampler.get("hard")))


def _name(recipe: Settings, slot: str) -> str:
    found = components(recipe.get(slot))
    return found[0].name if found else ""


def _step(recipe: Settings) -> str:
    return _name(recipe, "step") or "alternating"


def _select(recipe: Settings) -> str:
    return _name(recipe, "select") or "argmax"


def _order(recipe: Settings) -> str:
    found = components(recipe.get("step"))
    return str(found[0].get("order") or "first") if found else "first"


def _sampler(recipe: Settings) -> Iterator[Conflict]:
    name, step = _name(recipe, "sampler"), _step(recipe)
    if name in PATHS and step in MOVES_ARCH:
        yield Conflict(
            "sampler", "step", f"`{name}` does not depend on the architecture that `{step}` moves"
        )
    if name in PATHS and _select(recipe) in READS_MIX:
        yield Conflict(
            "select",
            "sampler",
            f"`{name}` learns no weights of options that `{_select(recipe)}` could read",
        )
    if one_hot(recipe) and _select(recipe) == "perturbation":
        yield Conflict(
            "select", "sampler", "it takes options out of a mixture; one path alone has none"
        )
    if name == "fair_path" and step != "weights_only":
        yield Conflict("sampler", "step", "several paths share one step of `weights_only`")


def _steps(recipe: Settings) -> Iterator[Conflict]:
    step = _step(recipe)
    if step in MOVES_ARCH and recipe.get("arch") is None and _declared(recipe, "arch"):
        yield Conflict("step", "arch", f"`{step}` moves an architecture; `arch = none` has none")
    if step == "weights_only" and recipe.get("arch") is not None:
        yield Conflict("arch", "step", "`weights_only` moves no architecture; say `arch = none`")
    if step == "alternating" and _order(recipe) != "first":
        name = _name(recipe, "weights")
        if name and name != "sgd":
            yield Conflict(
                "step", "weights", f"it looks one step of `sgd` ahead; the weights move by `{name}`"
            )


def _alone(recipe: Settings) -> Iterator[Conflict]:
    select, alone = _select(recipe), _step(recipe) == "stand_alone"
    if select == "halving" and not alone:
        yield Conflict("select", "step", "it compares networks that `stand_alone` trains")
    if select in READS_MIX and alone:
        yield Conflict("step", "select", f"there is no mixture for `{select}` to read")
    if alone and recipe.get("sampler") is not None:
        yield Conflict("sampler", "step", "no supernet is trained that could be sampled")


def _declared(recipe: Settings, slot: str) -> bool:
    return any(key == slot for key, _ in recipe.values)


def _perturb(recipe: Settings) -> Iterator[Conflict]:
    if recipe.get("perturb") is None:
        return
    name = _name(recipe, "perturb")
    if one_hot(recipe):
        yield Conflict(
            "perturb",
            "sampler",
            f"`{name}` moves the mix off its corner, where one path no longer computes it",
        )
    if _step(recipe) == "joint":
        yield Conflict("perturb", "step", "it acts on the weight step alone; `joint` has none")


def _regularize(recipe: Settings) -> Iterator[Conflict]:
    terms = [c.name for c in components(recipe.get("regularize"))]
    if terms and recipe.get("arch") is None and _declared(recipe, "arch"):
        yield Conflict("regularize", "arch", "it acts on an architecture; `arch = none` has none")
    drawn = _name(recipe, "sampler") == "dirichlet"
    for name in ("drnas_kl", "drnas_l2"):
        if name in terms and not drawn:
            yield Conflict(
                "regularize", "sampler", f"`{name}` speaks of the concentrations of `dirichlet`"
            )
    for name in {t for t in terms if terms.count(t) > 1}:
        yield Conflict("regularize", "regularize", f"`{name}` stands twice in the sum")


def _stop(recipe: Settings) -> Iterator[Conflict]:
    if _name(recipe, "stop") != "eigenvalue":
        return
    sampler = _name(recipe, "sampler")
    if one_hot(recipe) or sampler in ("dirichlet", "compose"):
        yield Conflict(
            "stop", "sampler", f"a mix of `{sampler}` has no second derivative in the alphas"
        )
    if recipe.get("arch") is None:
        yield Conflict("stop", "arch", "its eigenvalue is that of the architecture's Hessian")


def _edits(recipe: Settings) -> Iterator[Conflict]:
    """Graph edits and what they need of the rest."""
    partial = components(recipe.get("partial"))
    if partial and partial[0].get("edge_norm"):
        if one_hot(recipe):
            yield Conflict(
                "partial",
                "sampler",
                f"`edge_norm` weighs all edges of a node, `{_name(recipe, 'sampler')}` takes one",
            )
        if _select(recipe) == "threshold":
            yield Conflict(
                "partial", "select", "`threshold` compares options, not the edges that betas weigh"
            )
    if components(recipe.get("lora")) and _name(recipe, "entangle") == "kernels":
        yield Conflict(
            "lora", "entangle", "adapters change one convolution, a shared kernel serves several"
        )
    if components(recipe.get("prune")) and _name(recipe, "sampler") in PATHS:
        yield Conflict(
            "prune",
            "sampler",
            f"`{_name(recipe, 'sampler')}` learns no weights by which options could go",
        )


RULES: tuple[Callable[[Settings], Iterator[Conflict]], ...] = (
    _sampler,
    _alone,
    _steps,
    _perturb,
    _regularize,
    _stop,
    _edits,
)


def conflicts(recipe: Settings) -> tuple[Conflict, ...]:
    """Every pair of components of a recipe (or a phase with its recipe) that does not fit."""
    return tuple(conflict for rule in RULES for conflict in rule(recipe))
