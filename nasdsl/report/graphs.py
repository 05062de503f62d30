"""A picture as Graphviz DOT and as Mermaid."""

from __future__ import annotations

import json
import re

from nasdsl.report.picture import Picture
from nasdsl.report.svg import BOXES, COLOURS, INK, PAPER, STAGES


def dot(picture: Picture, *, down: bool = False) -> str:
    """Graphviz: `dot -Tpdf`."""
    lines = [
        f"digraph {_quote(picture.title)} {{",
        f"  rankdir={'TB' if down else 'LR'}; label={_quote(picture.title)}; labelloc=t;",
        '  node [shape=box, style="rounded,filled", fontname=Helvetica, fontsize=12];',
        f'  edge [fontname=Helvetica, fontsize=11, color="#7b8794", fontcolor="{INK}"];',
    ]
    colours = _colours(picture)
    for box in picture.boxes:
        fill, stroke = colours[box.role]
        ink = PAPER if box.role == "output" else INK
        text = f"{box.text}\n{box.note}" if box.note else box.text
        lines.append(
            f"  {_quote(box.id)} [label={_quote(text)}, fillcolor={_quote(fill)}, "
            f"color={_quote(stroke)}, fontcolor={_quote(ink)}];"
        )
    for link in picture.links:
        said = []
        if link.label:
            said.append(f"label={_quote(link.label)}")
            stroke = COLOURS.get(link.family, COLOURS["other"])[1]
            said.append(f"color={_quote(stroke)}")
        if link.family in ("none", "aux"):
            said.append("style=dashed")
        attrs = f" [{', '.join(said)}]" if said else ""
        lines.append(f"  {_quote(link.source)} -> {_quote(link.target)}{attrs};")
    if picture.legend:
        text = "\\l".join(line.replace('"', '\\"') for line in picture.legend) + "\\l"
        lines.append(f'  legend [shape=plaintext, style="", label="{text}"];')
    return "\n".join([*lines, "}"]) + "\n"


def mermaid(picture: Picture, *, down: bool = False) -> str:
    """Mermaid, as GitHub and GitLab draw it."""
    lines = ["---", f"title: {json.dumps(picture.title, ensure_ascii=False)}", "---"]
    lines.append(f"flowchart {'TB' if down else 'LR'}")
    names = _identifiers(picture)
    for box in picture.boxes:
        text = f"{box.text}<br/>{box.note}" if box.note else box.text
        left, right = ("([", "])") if box.role == "node" else ("[", "]")
        lines.append(f"  {names[box.id]}{left}{_plain(text)}{right}:::{_class(box.role)}")
    for link in picture.links:
        arrow = "-.->" if link.family in ("none", "aux") else "-->"
        label = f"|{_plain(link.label)}|" if link.label else ""
        lines.append(f"  {names[link.source]} {arrow}{label} {names[link.target]}")
    for role in dict.fromkeys(b.role for b in picture.boxes):
        fill, stroke = _colours(picture)[role]
        ink = PAPER if role == "output" else INK
        lines.append(f"  classDef {_class(role)} fill:{fill},stroke:{stroke},color:{ink}")
    lines += [f"  %% {line}" for line in picture.legend]
    return "\n".join(lines) + "\n"


def _colours(picture: Picture) -> dict[str, tuple[str, str]]:
    colours = dict(BOXES)
    for box in picture.boxes:
        if box.role not in colours:
            colours[box.role] = STAGES[(len(colours) - len(BOXES)) % len(STAGES)]
    return colours


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _plain(text: str) -> str:
    return '"' + text.replace('"', "#quot;") + '"'


def _class(role: str) -> str:
    """A class name; `end` and the like mean something to Mermaid."""
    return "k_" + re.sub(r"\W", "_", role)


def _identifiers(picture: Picture) -> dict[str, str]:
    return {
        box.id: f"n{i}_{re.sub(r'[^A-Za-z0-9]+', '', box.id)}"
        for i, box in enumerate(picture.boxes)
    }
