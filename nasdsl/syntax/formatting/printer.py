"""Writes the statements of a module."""

from __future__ import annotations

from collections.abc import Sequence

from nasdsl.syntax import ast
from nasdsl.syntax.formatting.binding import number_text
from nasdsl.syntax.formatting.outline import (
    Block,
    Outline,
    Part,
    Statement,
    behind,
    children,
    keyword,
    keyword_width,
    params_of,
)
from nasdsl.syntax.formatting.page import STEP, Page
from nasdsl.syntax.formatting.rows import Row, align
from nasdsl.syntax.formatting.spread import Spread
from nasdsl.syntax.formatting.written import Written


class Printer:
    """Puts the statements of a module on a page."""

    def __init__(self, module: ast.Module, limit: int) -> None:
        self.tree = module
        self.written = Written(module)
        self.outline = Outline(self.written, limit)
        self.page = Page(self.written, limit)
        self.put = self.page.put
        self.spread = Spread(self.page, self.outline)

    def module(self) -> str:
        version = self.tree.version
        self.page.line(version.span.start, 0, first=True)
        self.put(f"nas {number_text(version)}")
        self.page.seen(version.span.end)
        self.statements(self.tree.items, 0, first=False)
        return self.page.finished()

    def statements(self, body: Sequence[Statement], indent: int, *, first: bool) -> None:
        """Statements one below the other."""
        page = self.page
        pad = max(map(keyword_width, body), default=0)
        rows = [self.outline.statement_row(s, pad, indent) for s in body]
        aligned = align(rows, page.limit - indent, self.written.apart)
        floor = page.floor
        for statement, (row, widths) in zip(body, aligned, strict=True):
            page.line(row.start, indent, first=first)
            page.floor, first = indent, False
            self.statement(statement, row, widths, pad)
            page.seen(row.end)
        page.floor = floor

    def body(self, body: Sequence[Statement], close: int) -> None:
        """Statements in braces, over several lines even if they are none but a comment."""
        indent = self.page.floor
        self.put("{")
        self.statements(body, indent + STEP, first=True)
        self.page.line(close, indent, lead=indent + STEP, first=not body, closing=True)
        self.put("}")

    def statement(self, statement: Statement, row: Row, widths: Sequence[int], pad: int) -> None:
        match statement:
            case ast.Space() | ast.Cell() | ast.Config() | ast.Phase() | ast.Ops():
                self.block(statement, row, widths)
            case _ if row.kind:
                self.spread.row(row, widths)
            case ast.Op():
                self.tall_op(statement)
            case ast.Edge():
                self.tall_edge(statement, pad)
            case ast.Repeat():
                self.repeat(statement)
            case ast.Input() | ast.Stem() | ast.Stage() | ast.Head():
                self.part(statement, pad)
            case ast.Target(attrs=attrs):
                self.target(statement, attrs)
            case ast.ImportFile(path=path, alias=alias):
                self.put(f"import {self.outline.flat(path)} as {alias.text}")
            case ast.ImportNames(path=path, names=names):
                self.put(f"from {self.outline.flat(path)} import ")
                self.fill(names, self.page.col)
            case _:
                self.wiring(statement, pad)

    def keyword(self, statement: Statement, pad: int = 0) -> None:
        self.put(keyword(statement).ljust(pad) + " ")

    # -- definitions

    def block(self, block: Block, row: Row, widths: Sequence[int]) -> None:
        empty = self.outline.is_empty(block)
        if row.kind:
            self.put(self.outline.flat_head(block).ljust(widths[0]))
        elif self.outline.tall_head(block, self.page.floor):
            self.tall_head(block)
        else:
            self.put(self.outline.flat_head(block))
        if block.parents:
            self.put(" extends ")
            self.fill(block.parents, self.page.floor + 2 * STEP, len(" {}" if empty else " {"))
        self.put(" ")
        if empty:
            self.put("{}")
        else:
            self.body(children(block), block.span.end - 1)

    def target(self, target: ast.Target, attrs: Sequence[ast.Attr]) -> None:
        self.keyword(target)
        opening = self.written.find("{", target.span.start)
        if attrs or self.written.has_comment(opening, target.span.end):
            self.body(attrs, target.span.end - 1)
        else:
            self.put("{}")

    def tall_op(self, op: ast.Op) -> None:
        self.tall_head(op)
        self.put(" = ")
        self.spread.value(op.value)

    def tall_head(self, block: Block | ast.Op) -> None:
        """A definition up to the end of its parameters, one of them per line."""
        self.put(f"{keyword(block)} {block.name.text}")
        rows = self.outline.param_rows(params_of(block))
        close = self.written.find(")", rows[-1].end)
        self.put("(")
        self.spread.stack(rows, close)
        self.put(")")

    def fill(self, names: Sequence[ast.Name | ast.Ident], indent: int, reserve: int = 0) -> None:
        """Names after commas, as many on a line as fit."""
        for i, name in enumerate(names):
            if i:
                self.put(",")
                after = reserve if i == len(names) - 1 else 1
                if self.page.fits(1 + len(name.text) + after):
                    self.put(" ")
                else:
                    self.page.line(name.span.start, indent, tight=True)
            self.put(name.text)

    # -- the cell

    def wiring(self, statement: Statement, pad: int) -> None:
        """The statements of a cell that no columns align."""
        match statement:
            case ast.In(inputs=inputs):
                self.keyword(statement, pad)
                self.inputs(inputs)
            case ast.Out(value=value):
                self.keyword(statement, pad)
                self.spread.value(value)
            case ast.Require(value=value):
                self.keyword(statement)
                self.spread.value(value)
            case ast.Pick(count=count, per=per):
                self.keyword(statement, pad)
                self.per(count, per, 0)
            case ast.Keep(count=count, per=per, exclude=exclude):
                self.keyword(statement, pad)
                self.per(count, per, len(" except {") if exclude else 0)
                if exclude:
                    self.put(" except ")
                    self.spread.value(exclude)

    def per(self, count: ast.Value, ends: Sequence[ast.End] | None, reserve: int) -> None:
        self.spread.value(count, len(" per"))
        self.put(" per ")
        self.ends(ends, reserve)

    def ends(self, ends: Sequence[ast.End] | None, reserve: int) -> None:
        text = self.outline.flat_ends(ends)
        if ends is None or len(ends) == 1 or self.page.fits(len(text) + reserve):
            self.put(text)
            return
        self.put("{")
        self.spread.stack(self.outline.end_rows(ends), ends[-1].span.end)
        self.put("}")

    def tall_edge(self, edge: ast.Edge, pad: int) -> None:
        """An edge whose ends take most of a line aligns with nothing."""
        self.keyword(edge, pad)
        self.ends(edge.sources, len(" ->"))
        self.put(" -> ")
        self.ends(edge.targets, len(" :") if edge.op else 0)
        if edge.op:
            self.put(" : ")
            self.spread.value(edge.op)

    def inputs(self, inputs: Sequence[ast.CellInput]) -> None:
        """On one line, or one below the other if the author did so or they do not fit."""
        flat = ", ".join(
            i.name.text + (f" : {self.outline.flat(i.prepare)}" if i.prepare else "")
            for i in inputs
        )
        split = any(
            i.prepare is not None and self.outline.broken(i.prepare) for i in inputs
        ) or any(
            self.written.newline(one.span.end, two.span.start)
            for one, two in zip(inputs, inputs[1:], strict=False)
        )
        if not split and self.page.fits(len(flat)):
            self.put(flat)
            return
        indent = self.page.col
        for i, one in enumerate(inputs):
            if i:
                self.put(",")
                self.page.line(one.span.start, indent, tight=True)
            self.put(one.name.text)
            if one.prepare:
                self.put(" : ")
                self.spread.value(one.prepare, 0 if one is inputs[-1] else 1)

    # -- the network

    def part(self, part: Part, pad: int) -> None:
        attrs, at = behind(part)
        self.keyword(part, pad)
        if attrs:
            self.stage(part, attrs, at)
        else:
            self.spread.value(part.value, len(f" at {self.outline.flat(at)}") if at else 0)
            self.place(at)

    def place(self, at: ast.Value | None) -> None:
        if at:
            self.put(" at ")
            self.spread.value(at)

    def stage(self, part: Part, attrs: Sequence[ast.Attr], at: ast.Value | None) -> None:
        """The block of a stage stays on its line if it can."""
        text = self.outline.flat_behind(part)
        close = self.written.find("}", attrs[-1].span.end)
        values = [*(attr.value for attr in attrs), *([at] if at else [])]
        stacked = self.written.has_comment(part.value.span.end, close) or any(
            map(self.outline.broken, values)
        )
        self.spread.value(part.value, len(" {"))
        self.put(" ")
        if not stacked and self.page.fits(len(text)):
            self.put(text)
            return
        self.body(attrs, close)
        self.place(at)

    def repeat(self, repeat: ast.Repeat) -> None:
        """`repeat n { stage c }` stays on one line if the author had it there."""
        text = self.outline.one_line(repeat)
        if text is not None and self.page.fits(len(text)):
            self.put(text)
            return
        self.keyword(repeat)
        self.spread.value(repeat.count, len(" {"))
        self.put(" ")
        self.body(repeat.body, repeat.span.end - 1)
