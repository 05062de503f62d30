"""The import that a message suggests for a name of the library brings that name."""

import re

import pytest

from nasdsl import resources
from nasdsl.diagnostics.model import Diagnostics
from nasdsl.lowering.elsewhere import BLOCKS, OPERATIONS, VALUES, bundled_hint
from nasdsl.lowering.modules import Loader, candidates, library
from nasdsl.source import Source

IMPORT = re.compile(r'`(from "[^"]+" import (\w+))`')


def loaded(name, text):
    diags = Diagnostics()
    module = Loader(library(), diags).load(name, Source.of(name, text))
    diags.check()
    return module


def defined():
    """(name, kind) of everything the library defines, candidates with a body included."""
    found = set()
    for file in resources.listing("spaces", ".nas"):
        for definition in loaded(f"./{file}", resources.read("spaces", file)).own:
            found.add((definition.name, definition.kind))
            for candidate in candidates(definition):
                if candidate.node.value is not None:
                    found.add((candidate.name, "candidate"))
    return sorted(found)


DEFINED = defined()


def test_there_is_something_of_every_kind():
    assert {kind for _, kind in DEFINED} >= {"op", "ops", "candidate", *BLOCKS}


@pytest.mark.parametrize(("name", "kind"), DEFINED, ids=lambda value: value)
def test_the_suggested_import_brings_the_name(name, kind):
    hint = bundled_hint(name, (kind,))
    statement, imported = IMPORT.search(hint).groups()
    assert imported == name
    module = loaded("test.nas", f"nas 1\n\n{statement}\n")
    # A set may list a candidate again whose body is an operation of the file.
    assert module.names[name].kind in (kind, "op", "candidate")


def test_a_name_of_several_files_says_so():
    hint = bundled_hint("skip", OPERATIONS)
    files = re.findall(r"[\w/]+\.nas", hint)
    assert len(files) == len(set(files)) == 3


def test_names_that_the_library_lacks_have_no_hint():
    assert bundled_hint("sep_conv_9x9", VALUES) is None
    assert bundled_hint("darts", OPERATIONS) is None
    assert bundled_hint("dart", BLOCKS) is None
    assert bundled_hint("a.b*", VALUES) is None
