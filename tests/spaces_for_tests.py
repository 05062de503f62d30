"""Spaces as the tests want them: from text or the bundled library, with parameters."""

from fractions import Fraction
from pathlib import Path

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.ir.shape import Shape
from nasdsl.lowering import networks
from nasdsl.lowering.flattening import Flattener
from nasdsl.lowering.modules import Loader, bundled, library
from nasdsl.lowering.value.kinds import Given
from nasdsl.source import Source


def images(channels=3, size=16, classes=10):
    return Given("data", Shape("image", (channels, size, size)), classes)


def values(given):
    """Plain numbers as the exact fractions of the language."""
    return {k: Fraction(v) if isinstance(v, int) else v for k, v in given.items()}


def bundled_space(file, name, *, genotype=None, target=None, **parameters):
    """A space of the bundled library; an error fails the test."""
    diags = Diagnostics()
    module = Loader(library(), diags).load(*bundled(file))
    space = networks.space(
        diags,
        Flattener(diags),
        module.names[name],
        values(parameters),
        target_overrides=values(target or {}),
        genotype=genotype,
    )
    diags.check()
    return space


def space_of(text, name, *, genotype=None, target=None, **parameters):
    """A space of a text."""
    diags = Diagnostics()
    module = Loader(library([Path.cwd()]), diags).load("test", Source.of("test.nas", text))
    diags.check()
    space = networks.space(
        diags,
        Flattener(diags),
        module.names[name],
        values(parameters),
        target_overrides=values(target or {}),
        genotype=genotype,
    )
    diags.check()
    return space
