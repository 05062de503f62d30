"""Parse tree to syntax tree, bottom-up and without recursion, so depth costs no stack."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from lark import Token, Tree

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.source import Source, Span
from nasdsl.syntax import ast
from nasdsl.syntax.reserved import CONFIGS

#: Deepest nesting of a value that later stages promise to handle.
MAX_DEPTH = 100
#: Most digits of a number, and its largest exponent.
MAX_DIGITS = 300

_SUFFIX = {"k": Fraction(1000), "M": Fraction(10**6), "G": Fraction(10**9), "%": Fraction(1, 100)}


class TooDeep(Exception):
    """A value nests deeper than MAX_DEPTH; carries the place."""

    def __init__(self, span: Span) -> None:
        super().__init__("nested too deeply")
        self.span = span


def number(text: str) -> Fraction:
    """The exact value of a literal with an optional suffix."""
    if text[-1] in _SUFFIX:
        return Fraction(text[:-1]) * _SUFFIX[text[-1]]
    return Fraction(text)


def build(
    tree: Tree[Token], source: Source, comments: tuple[ast.Comment, ...], diags: Diagnostics
) -> ast.Module:
    """The syntax tree of a whole file. Raises TooDeep."""
    return Builder(source, comments, diags).module(tree)


class Builder:
    """One method per grammar rule; children are already built when a rule is."""

    def __init__(
        self, source: Source, comments: tuple[ast.Comment, ...], diags: Diagnostics
    ) -> None:
        self.source = source
        self.comments = comments
        self.diags = diags

    def module(self, tree: Tree[Token]) -> ast.Module:
        built: dict[int, Any] = {}
        depth: dict[int, int] = {}
        rules = self._rules()
        for sub in tree.iter_subtrees():
            children: list[Any] = []
            deepest = 0
            for child in sub.children:
                if isinstance(child, Tree):
                    children.append(built[id(child)])
                    deepest = max(deepest, depth[id(child)])
                else:
                    children.append(child)
            span = self._span(sub)
            name = str(sub.data)
            depth[id(sub)] = deepest + (0 if name in _FLAT else 1)
            if depth[id(sub)] > MAX_DEPTH:
                raise TooDeep(span)
            built[id(sub)] = rules[name](span, children)
        result: ast.Module = built[id(tree)]
        return result

    def _span(self, tree: Tree[Token]) -> Span:
        meta = tree.meta
        if meta.empty:
            return Span(self.source, 0, 0)
        return Span(self.source, meta.start_pos, meta.end_pos)

    def _token_span(self, token: Token) -> Span:
        return Span(self.source, token.start_pos or 0, token.end_pos or 0)

    def _ident(self, token: Token) -> ast.Ident:
        return ast.Ident(span=self._token_span(token), text=str(token))

    def _string(self, token: Token) -> ast.String:
        return ast.String(span=self._token_span(token), value=str(token)[1:-1])

    def _rules(self) -> Mapping[str, Callable[[Span, list[Any]], Any]]:
        binary = self._binary
        return {
            "start": self._start,
            "version": lambda s, c: self._number(self._token_span(c[0]), c),
            "item": lambda s, c: c[0],
            "import_file": lambda s, c: ast.ImportFile(
                span=s, path=self._string(c[0]), alias=self._ident(c[1])
            ),
            "import_names": lambda s, c: ast.ImportNames(
                span=s, path=self._string(c[0]), names=c[1]
            ),
            "names": lambda s, c: tuple(self._ident(t) for t in c),
            "let": lambda s, c: ast.Let(span=s, name=self._ident(c[0]), value=c[1]),
            "op": self._op,
            "ops": self._ops,
            "candidate": lambda s, c: ast.Candidate(
                span=s, name=self._ident(c[0]), value=c[1] if len(c) > 1 else None
            ),
            "space": lambda s, c: self._block(ast.Space, s, c),
            "cell": lambda s, c: self._block(ast.Cell, s, c),
            "space_stmt": lambda s, c: c[0],
            "repeat_stmt": lambda s, c: c[0],
            "cell_stmt": lambda s, c: c[0],
            "config_stmt": lambda s, c: c[0],
            "target": lambda s, c: ast.Target(span=s, attrs=c[0]),
            "input": lambda s, c: ast.Input(span=s, value=c[0]),
            "stem": lambda s, c: ast.Stem(span=s, value=c[0]),
            "stage": self._stage,
            "head": lambda s, c: ast.Head(span=s, value=c[0], at=_first(c, _Place)),
            "repeat": lambda s, c: ast.Repeat(span=s, count=c[0], body=tuple(c[1:])),
            "place": lambda s, c: _Place(c[0]),
            "block": lambda s, c: tuple(c),
            "inputs": lambda s, c: ast.In(span=s, inputs=tuple(c)),
            "input_": lambda s, c: ast.CellInput(
                span=s, name=self._ident(c[0]), prepare=c[1] if len(c) > 1 else None
            ),
            "node": self._node,
            "count": lambda s, c: _Count(c[0]),
            "edge": lambda s, c: ast.Edge(
                span=s, sources=c[0], targets=c[1], op=c[2] if len(c) > 2 else None
            ),
            "pick": lambda s, c: ast.Pick(span=s, count=c[0], per=c[1].ends),
            "keep": lambda s, c: ast.Keep(
                span=s, count=c[0], per=c[1].ends, exclude=c[2] if len(c) > 2 else None
            ),
            "out": lambda s, c: ast.Out(span=s, value=c[0]),
            "per": lambda s, c: _Per(c[0] if c else None),
            "ends": lambda s, c: tuple(c),
            "end": lambda s, c: ast.End(
                span=s, name=self._ident(c[0]), index=c[1] if len(c) > 1 else None
            ),
            **{kind: self._config(kind) for kind in CONFIGS},
            "config_body": self._config_body,
            "phase": self._phase,
            "extends": lambda s, c: _Parents(tuple(c)),
            "require": lambda s, c: ast.Require(span=s, value=c[0]),
            "attr": lambda s, c: ast.Attr(span=s, target=c[0], value=c[1]),
            "params": lambda s, c: _Params(tuple(c)),
            "param": lambda s, c: ast.Param(
                span=s, name=self._ident(c[0]), default=c[1] if len(c) > 1 else None
            ),
            "earlier": lambda s, c: ast.Earlier(span=s),
            "at_index": lambda s, c: c[0],
            "index_span": lambda s, c: ast.Range(span=s, low=c[0], high=c[1]),
            "if_": lambda s, c: ast.If(span=s, then=c[0], condition=c[1], otherwise=c[2]),
            "or_": lambda s, c: binary("or", s, c),
            "and_": lambda s, c: binary("and", s, c),
            "not_": lambda s, c: ast.Unary(span=s, op="not", operand=c[0]),
            "compare": lambda s, c: binary(None, s, c),
            "sum_": lambda s, c: binary(None, s, c),
            "product": lambda s, c: binary(None, s, c),
            "chain": lambda s, c: binary(None, s, c),
            "neg": lambda s, c: ast.Unary(span=s, op="-", operand=c[-1]),
            "fresh": lambda s, c: ast.Unary(span=s, op="fresh", operand=c[0]),
            "one_of": lambda s, c: ast.Unary(span=s, op="one_of", operand=c[0]),
            "call": lambda s, c: ast.Call(span=s, func=c[0], args=c[1] if len(c) > 1 else ()),
            "subscript": lambda s, c: ast.Subscript(span=s, base=c[0], index=c[1]),
            "number": self._number,
            "string": lambda s, c: self._string(c[0]),
            "true": lambda s, c: ast.Boolean(span=s, value=True),
            "false": lambda s, c: ast.Boolean(span=s, value=False),
            "int_range": lambda s, c: ast.IntDomain(
                span=s, low=c[0], high=c[1], step=c[2] if len(c) > 2 else None
            ),
            "float_range": lambda s, c: ast.FloatDomain(
                span=s, low=c[0], high=c[1], log=len(c) > 2
            ),
            "bound": self._bound,
            "list": lambda s, c: ast.ListOf(span=s, items=c[0] if c else ()),
            "list_items": lambda s, c: tuple(c),
            "span": lambda s, c: ast.Range(span=s, low=c[0], high=c[1]),
            "set": self._set,
            "pair": lambda s, c: _Pair(s, c[0], c[1]),
            "args": lambda s, c: tuple(c),
            "arg": self._arg,
            "dotted": lambda s, c: ast.Name(span=s, parts=tuple(str(t) for t in c)),
        }

    def _start(self, span: Span, c: list[Any]) -> ast.Module:
        return ast.Module(
            span=Span(self.source, 0, len(self.source.text)),
            version=c[0],
            items=tuple(c[1:]),
            comments=self.comments,
        )

    def _number(self, span: Span, c: list[Any]) -> ast.Number:
        text = str(c[0])
        exponent = re.search(r"[eE][+-]?(\d+)", text)
        if len(text) > MAX_DIGITS or (exponent is not None and int(exponent[1]) > MAX_DIGITS):
            self.diags.add(
                "E028",
                span,
                "this number is out of range",
                help=f"at most {MAX_DIGITS} digits, and exponents up to {MAX_DIGITS}",
            )
            return ast.Number(span=span, value=Fraction(1), text="1")
        return ast.Number(span=span, value=number(text), text=text)

    def _bound(self, span: Span, c: list[Any]) -> Any:
        if len(c) == 2:  # MINUS NUMBER
            return ast.Unary(
                span=span, op="-", operand=self._number(self._token_span(c[1]), [c[1]])
            )
        return self._number(span, c) if isinstance(c[0], Token) else c[0]

    def _binary(self, op: str | None, span: Span, c: list[Any]) -> ast.Binary:
        if op is None:
            left, token, right = c
            return ast.Binary(
                span=span, op=str(token), left=left, right=right, op_span=self._token_span(token)
            )
        left, right = c
        return ast.Binary(
            span=span,
            op=op,
            left=left,
            right=right,
            op_span=Span(self.source, left.span.end, right.span.start),
        )

    def _op(self, span: Span, c: list[Any]) -> ast.Op:
        params = _first(c, _Params) or ()
        return ast.Op(span=span, name=self._ident(c[0]), params=params, value=c[-1])

    def _ops(self, span: Span, c: list[Any]) -> ast.Ops:
        return ast.Ops(
            span=span,
            name=self._ident(c[0]),
            parents=_first(c, _Parents) or (),
            candidates=tuple(x for x in c if isinstance(x, ast.Candidate)),
        )

    def _block(self, kind: Callable[..., Any], span: Span, c: list[Any]) -> Any:
        return kind(
            span=span,
            name=self._ident(c[0]),
            params=_first(c, _Params) or (),
            parents=_first(c, _Parents) or (),
            body=tuple(x for x in c[1:] if isinstance(x, ast.Node)),
        )

    def _config_body(self, span: Span, c: list[Any]) -> ast.Config:
        config: ast.Config = self._block(_partial_config, span, c)
        return config

    def _config(self, kind: str) -> Callable[[Span, list[Any]], ast.Config]:
        return lambda span, c: replace(c[0], span=span, kind=kind)

    def _phase(self, span: Span, c: list[Any]) -> ast.Phase:
        return ast.Phase(
            span=span,
            name=self._ident(c[0]),
            parents=_first(c, _Parents) or (),
            body=tuple(x for x in c[1:] if isinstance(x, ast.Attr | ast.Let)),
        )

    def _stage(self, span: Span, c: list[Any]) -> ast.Stage:
        attrs: tuple[ast.Attr, ...] = ()
        for x in c[1:]:
            if isinstance(x, tuple):
                attrs = x
        return ast.Stage(span=span, value=c[0], attrs=attrs, at=_first(c, _Place))

    def _node(self, span: Span, c: list[Any]) -> ast.NodeDef:
        value: Any = c[-1] if len(c) > 1 and isinstance(c[-1], ast.Node) else None
        return ast.NodeDef(span=span, name=self._ident(c[0]), count=_first(c, _Count), value=value)

    def _set(self, span: Span, c: list[Any]) -> ast.SetOf | ast.MapOf:
        pairs = [x for x in c if isinstance(x, _Pair)]
        if pairs and len(pairs) == len(c):
            return ast.MapOf(span=span, items=tuple((p.key, p.value) for p in pairs))
        # A mixture keeps its pairs as values; the checker reports it.
        return ast.SetOf(
            span=span, items=tuple(p.as_value() if isinstance(p, _Pair) else p for p in c)
        )

    def _arg(self, span: Span, c: list[Any]) -> ast.Arg:
        # (dotted "=")? value ("->" value)?: a name is told from a value by the `=` in the text.
        named = False
        if len(c) > 1 and isinstance(c[0], ast.Name):
            between = self.source.text[c[0].span.end : c[1].span.start]
            named = _code(between).strip().startswith("=")
        values = c[1:] if named else c
        return ast.Arg(
            span=span,
            name=c[0].text if named else None,
            value=values[0],
            to=values[1] if len(values) > 1 else None,
        )


def _partial_config(**fields: Any) -> ast.Config:
    return ast.Config(kind="", **fields)


def _code(text: str) -> str:
    return "\n".join(line.split("#", 1)[0] for line in text.split("\n"))


def _first(children: list[Any], kind: type[Any]) -> Any:
    return next((c.value for c in children if isinstance(c, kind)), None)


class _Wrap:
    """A built child whose role its parent must recognise."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class _Place(_Wrap):
    pass


class _Count(_Wrap):
    pass


class _Parents(_Wrap):
    pass


class _Params(_Wrap):
    pass


class _Per(_Wrap):
    @property
    def ends(self) -> tuple[ast.End, ...] | None:
        ends: tuple[ast.End, ...] | None = self.value
        return ends


class _Pair:
    __slots__ = ("key", "span", "value")

    def __init__(self, span: Span, key: Any, value: Any) -> None:
        self.span = span
        self.key = key
        self.value = value

    def as_value(self) -> ast.MapOf:
        return ast.MapOf(span=self.span, items=((self.key, self.value),))


#: Rules that only pass a child on: they add no depth.
_FLAT = frozenset(
    "item space_stmt repeat_stmt cell_stmt config_stmt args arg list_items at_index "
    "bound dotted place block params param extends count ends end per start".split()
)
