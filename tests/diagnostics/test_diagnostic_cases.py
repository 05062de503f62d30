"""Every mistake of `tests/cases/diagnostics`: its codes and positions, and what is printed.

A case holds sections: one or more files (the first is checked), `expect` with a line
`CODE line:column` per diagnostic, read against the file by a person and never rewritten, and
`output`, which `--update-golden` rewrites.
"""

import re
from pathlib import Path

import pytest
from checking import checked

from nasdsl.diagnostics import render
from nasdsl.diagnostics.codes import CODES

FOLDER = Path(__file__).parent.parent / "cases" / "diagnostics"
CASES = sorted(FOLDER.glob("*.case"))


def sections(text):
    head, *parts = re.split(r"^--- (\S+)\n", text, flags=re.M)
    return head, dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_case(path, tmp_path, monkeypatch, update_golden):
    monkeypatch.chdir(tmp_path)
    text = path.read_bytes().decode()
    head, parts = sections(text)
    files = [name for name in parts if name.endswith(".nas")]
    for name in files:
        (tmp_path / name).write_bytes(parts[name].encode())
    found = checked(parts[files[0]], files[0])
    assert [f"{d.code} {d.span.line}:{d.span.column}" for d in found] == parts["expect"].split(
        "\n"
    )[:-1]
    output = "\n\n".join(render.full(d) for d in found) + "\n"
    if update_golden:
        golden = head + "".join(f"--- {k}\n{v}" for k, v in parts.items() if k != "output")
        path.write_bytes(f"{golden}--- output\n{output}".encode())
    else:
        assert "output" in parts, "no expected output: run with --update-golden"
        assert output == parts["output"]
    assert path.stem.partition("_")[0] in {"many", *(d.code for d in found)}


def test_every_code_and_every_mistake_of_the_language_page_has_a_case():
    texts = [path.read_text() for path in CASES]
    assert {p.stem.partition("_")[0] for p in CASES} - {"many"} == set(CODES)
    mistakes = {int(n) for text in texts for n in re.findall(r"^# mistake (\d+)", text, re.M)}
    assert mistakes == set(range(1, 41))
