"""Keywords may not be defined, set or used as parameters (language reference, 1.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.source import Span
from nasdsl.syntax import ast

#: Words that begin a top-level item.
TOP = ("import", "from", "let", "op", "ops", "cell", "space")
CONFIGS = ("recipe", "dataset", "split", "train", "suite")
#: Words that begin a statement, by the block they belong to.
STATEMENTS: dict[str, tuple[str, ...]] = {
    "file": (*TOP, *CONFIGS),
    "space": (
        *("let", "op", "ops", "cell", "input", "stem", "stage"),
        *("head", "repeat", "require", "target"),
    ),
    "cell": ("in", "node", "edge", "pick", "keep", "out", "let", "require"),
    "repeat": ("input", "stem", "stage", "head", "repeat", "let"),
    **dict.fromkeys(CONFIGS, ("let", "require", "phase")),
    "phase": ("let",),
    "target": (),
    "stage": (),
    "ops": (),
}
#: Words inside statements and values.
WORDS = (
    *("nas", "as", "at", "per", "except", "extends", "by", "log"),
    *("if", "else", "and", "or", "not", "fresh", "one_of", "int", "float", "true", "false"),
)
KEYWORDS = frozenset(WORDS) | {word for words in STATEMENTS.values() for word in words}
#: `by`, `log` and `as` are read as keywords only inside their own constructs.
RESERVED = KEYWORDS - {"by", "log", "as", "nas"}

_USE = {
    "split": "in a suite write `splits = [...]`",
    "space": "in a suite write `spaces = [...]`",
    "recipe": "in a suite write `recipes = [...]`",
    "dataset": "in a suite write `datasets = [...]`",
    "train": "in a suite write `retrain = [...]`",
}


def check_reserved(
    module: ast.Module, skipped: Sequence[tuple[int, int]], diags: Diagnostics
) -> None:
    """E009 for every definition, parameter or attribute that carries a keyword's name.

    Text that was given up after a syntax error is not judged a second time.
    """
    for text, span, what in _defined(module.items):
        if text in RESERVED and not any(a <= span.start < b for a, b in skipped):
            diags.add(
                "E009",
                span,
                f"`{text}` is a keyword and cannot be {what}",
                help=_USE.get(text, "choose another name"),
            )


def _defined(nodes: tuple[ast.Node, ...]) -> Iterator[tuple[str, Span, str]]:
    for node in nodes:
        match node:
            case ast.Attr():
                first = node.target.parts[0]
                start = node.target.span
                yield first, Span(start.source, start.start, start.start + len(first)), "set"
            case ast.ImportNames():
                for name in node.names:
                    yield name.text, name.span, "imported"
            case ast.ImportFile():
                yield node.alias.text, node.alias.span, "defined"
            case ast.In():
                for entry in node.inputs:
                    yield entry.name.text, entry.name.span, "defined"
            case ast.NodeDef():
                yield node.name.text, node.name.span, "defined"
            case ast.Let() | ast.Op() | ast.Ops() | ast.Cell() | ast.Space():
                yield node.name.text, node.name.span, "defined"
            case ast.Config() | ast.Phase():
                yield node.name.text, node.name.span, "defined"
        if isinstance(node, ast.Op | ast.Cell | ast.Space | ast.Config):
            for param in node.params:
                yield param.name.text, param.name.span, "a parameter"
        if isinstance(node, ast.Ops):
            for candidate in node.candidates:
                yield candidate.name.text, candidate.name.span, "defined"
        if isinstance(node, ast.Cell | ast.Space | ast.Config | ast.Phase | ast.Repeat):
            yield from _defined(node.body)
        if isinstance(node, ast.Stage | ast.Target):
            yield from _defined(node.attrs)
