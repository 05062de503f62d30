"""The catalogue of codes agrees with the source, and its examples do what they say."""

import re
from pathlib import Path

import pytest
from checking import checked

import nasdsl
from nasdsl.diagnostics.codes import CODES, explain

ROOT = Path(nasdsl.__file__).parent
#: The forty mistakes of the language page, and those found while it was written.
NUMBERED = (
    "E001 E002 E003 E004 E005 E006 E007 E008 E009 E010 E011 E012 E013 E014 E015 E016 E017 E018 "
    "E019 E101 E102 E103 E104 E105 E106 E107 E108 E201 E202 E207 E208 E209 E210 W210 W211 E301 "
    "E322 E331 E401 E505 E402 E332 E333 E334 E501 E211"
).split()


def used():
    found = set()
    for path in ROOT.rglob("*.py"):
        if path.name != "codes.py":
            found |= set(re.findall(r"\"([EW]\d{3})\"", path.read_text(encoding="utf-8")))
    return found


def test_the_catalogue_holds_exactly_the_codes_of_the_source():
    assert used() == set(CODES)
    assert set(NUMBERED) <= set(CODES)
    assert len(CODES) >= 60


def test_codes_are_in_order_and_keyed_by_number():
    numbers = list(CODES)
    assert numbers == sorted(numbers)
    assert all(code.number == number for number, code in CODES.items())


@pytest.mark.parametrize("number", CODES)
def test_wrong_gives_the_code_and_right_gives_nothing(number):
    code = CODES[number]
    found = [d.code for d in checked(code.wrong)]
    if number == "E025":  # it comes after fifty others
        assert found[-1] == number
    else:
        assert set(found) == {number}
    assert checked(code.right) == []


@pytest.mark.parametrize("number", CODES)
def test_explanations_are_pages_for_a_terminal(number):
    code, page = CODES[number], explain(number.lower())
    assert page.startswith(f"{number}: {code.title}\n")
    assert all(len(line) <= 80 and line == line.rstrip() for line in page.splitlines())
    assert "\n" not in code.title and len(code.title) <= 74
    body = page.split("\nWrong:\n")[0].strip().splitlines()[2:]
    assert 3 <= len(body) <= 8


def test_unknown_codes_are_no_pages():
    with pytest.raises(KeyError):
        explain("E999")
