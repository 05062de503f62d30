"""Everything that is bundled prints back resolved: the text stands alone and means the same."""

import pytest

from nasdsl import driver, resources
from nasdsl.diagnostics.model import Diagnostics
from nasdsl.driver import UnknownName
from nasdsl.lowering import program as programs
from nasdsl.report.resolved import ResolveError, resolved
from nasdsl.source import Source
from nasdsl.syntax.formatting.formatter import format_module
from nasdsl.syntax.parser import parse


def bundled_definitions():
    found = []
    for file in resources.listing("spaces", ".nas"):
        program = driver.load(file, check=False).program
        found += [
            pytest.param(file, d.kind, d.name, id=f"{file}-{d.kind}-{d.name}")
            for d in program.module.own
            if d.kind != "candidate"
        ]
    return found


def program_of(text):
    diags = Diagnostics()
    program = programs.load(Source.of("resolved.nas", text), "resolved.nas", diags=diags)
    assert program is not None
    programs.check(program)
    return program


def alike(settings):
    """Settings apart from the order of slots.

    With phases an inherited `epochs` no longer counts, and written beside them it is an error.
    """
    values = dict(settings.values)
    if settings.phases:
        values.pop("epochs", None)
    phases = [(name, alike(phase)) for name, phase in settings.phases]
    return settings.kind, settings.name, values, dict(settings.network), phases, settings.requires


def mistakes(diags):
    return sorted({d.code for d in diags if d.severity == "error"})


@pytest.mark.parametrize(("file", "kind", "name"), bundled_definitions())
def test_a_resolved_definition_means_the_same(file, kind, name):
    loaded = driver.load(file, check=False)
    text = resolved(loaded, kind, name)
    again = program_of(text)
    programs.check(loaded.program)
    assert set(mistakes(again.diags)) <= set(mistakes(loaded.program.diags)), again.diags.items
    if kind == "space":
        assert again.space(name) == loaded.program.space(name)
    elif kind in ("recipe", "dataset", "split", "train", "suite"):
        assert alike(again.settings(kind, name)) == alike(loaded.program.settings(kind, name))
    assert "extends" not in text
    # It is formatted, and resolving it again changes nothing.
    parsed = parse(Source.of("r", text), Diagnostics())
    assert format_module(parsed.module) == text
    assert resolved(driver.Loaded(again, ()), kind, name) == text


def space_both_ways(text, name):
    program = program_of(text)
    assert mistakes(program.diags) == [], program.diags.items
    out = resolved(driver.Loaded(program, ()), "space", name)
    again = program_of(out)
    assert mistakes(again.diags) == [], (out, again.diags.items)
    assert again.space(name) == program.space(name)
    return out


TAIL = "width = 4 input image(3, 8, 8) stem conv(3) head global_avg_pool >> linear(2)"


def test_a_name_that_means_what_it_replaced():
    text = space_both_ways(
        f"""nas 1
        space a(n = 2, ks = {{conv(3), conv(5)}}) {{ op f = conv(3) >> bn  let m = 3  {TAIL}
          repeat n {{ stage f }} stage one_of ks }}
        space b extends a {{ n = n + 1  op f = f >> relu  ks = ks + {{identity}} }}
        space c extends b {{ n = 2 * n  width = 2 * width }}""",
        "c",
    )
    assert "n = 2 * (2 + 1)" in text
    assert "op f = conv(3) >> bn >> relu" in text
    assert "ks = {conv(3), conv(5)} + {identity}" in text


def test_definitions_of_other_files_are_written_and_renamed(tmp_path):
    (tmp_path / "one.nas").write_text(
        f"""nas 1
        op unit(k) = conv(k) >> bn
        let wide = 8
        space a(n = wide) {{ op f = unit(3) {TAIL} stage f stage conv(1, out = n) }}"""
    )
    main = tmp_path / "two.nas"
    main.write_text(
        """nas 1
        from "./one.nas" import a
        op unit(k) = relu >> conv(k)
        let wide = 6
        space b extends a { op g = unit(5) stage f stage g stage conv(1, out = n + wide) }"""
    )
    loaded = driver.load(main)
    text = resolved(loaded, "space", "b")
    assert "unit_2" in text and "wide_2" in text
    again = program_of(text)
    assert mistakes(again.diags) == []
    assert again.space("b") == loaded.program.space("b")


def test_cells_of_files_and_their_parameters():
    space_both_ways(
        f"""nas 1
        cell base(k = 3) {{ in a : conv(k) node x[2] let s = 1
          edge {{a, x[<]}} -> x : one_of {{conv_a, skip}} keep 1 per x[2] out x[2] }}
        cell deep extends base {{ node x[3] : mean out sum(x) >> relu }}
        op conv_a = conv(1)  op skip = identity
        space s {{ {TAIL} stage base stage deep stage fresh deep }}""",
        "s",
    )


def test_a_recipe_with_settings_of_a_file():
    program = program_of(
        """nas 1
        let rate = 0.1
        recipe a(decay = 1e-3) { epochs = 5 batch = 8 sampler = softmax
          weights = sgd(lr = rate, decay = decay) arch = adam(lr = 1e-3)
          partial = channels(1/4) }
        recipe b extends a { decay = 2e-3 weights.lr = rate / 2 weights.momentum = 0.9
          partial.edge_norm = true }"""
    )
    assert mistakes(program.diags) == []
    text = resolved(driver.Loaded(program, ()), "recipe", "b")
    assert "recipe b(decay = 2e-3)" in text
    assert "sgd(lr = rate / 2, decay = decay, momentum = 0.9)" in text
    # An argument without a name may be the one that is changed, so it is left alone.
    assert "partial.edge_norm = true" in text.replace("  ", " ").replace("  ", " ")
    again = program_of(text)
    assert alike(again.settings("recipe", "b")) == alike(program.settings("recipe", "b"))


def test_what_cannot_be_resolved():
    loaded = driver.load("darts")
    with pytest.raises(UnknownName, match="has no space `dorts`"):
        resolved(loaded, "space", "dorts")
    broken = program_of("nas 1 cell c extends d { in a out a }")
    with pytest.raises(ResolveError, match="cell `c` is broken"):
        resolved(driver.Loaded(broken, ()), "cell", "c")
