"""Statements on one line, and as rows that align with their neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from nasdsl.syntax import ast
from nasdsl.syntax.formatting.breaks import Breaks
from nasdsl.syntax.formatting.rows import Row
from nasdsl.syntax.formatting.written import Written

#: What the left side of an edge or an operation leaves for its value.
VALUE = 30
#: Attributes and `let` share a run of aligned `=`.
_SETTING = "setting"

Block = ast.Space | ast.Cell | ast.Config | ast.Phase | ast.Ops
Statement = ast.Item | ast.SpaceStmt | ast.CellStmt | ast.Phase | ast.Candidate
#: A line of the network.
Part = ast.Input | ast.Stem | ast.Stage | ast.Head


def keyword(statement: ast.Node) -> str:
    """The word that a statement begins with."""
    match statement:
        case ast.Config(kind=kind):
            return kind
        case ast.NodeDef():
            return "node"
    return type(statement).__name__.lower()


def keyword_width(statement: Statement) -> int:
    """The keywords of a cell and those of a network are as wide as the widest in the block."""
    match statement:
        case ast.In() | ast.NodeDef() | ast.Edge() | ast.Pick() | ast.Keep() | ast.Out():
            return len(keyword(statement))
        case ast.Input() | ast.Stem() | ast.Stage() | ast.Head():
            return len(keyword(statement))
        case ast.Repeat():
            return len("stage")
    return 0


def children(block: Block) -> Sequence[Statement]:
    return block.candidates if isinstance(block, ast.Ops) else block.body


def params_of(block: Block | ast.Op) -> Sequence[ast.Param]:
    return () if isinstance(block, ast.Phase | ast.Ops) else block.params


def behind(part: Part) -> tuple[Sequence[ast.Attr], ast.Value | None]:
    """The attributes of a part of the network, and the value behind its `at`."""
    match part:
        case ast.Stage(attrs=attrs, at=at):
            return attrs, at
        case ast.Head(at=at):
            return (), at
    return (), None


def _head_end(block: Block) -> int:
    """Where the header of a block ends: no brace behind it belongs to a default value."""
    last: ast.Node = block.name
    for node in (*params_of(block)[-1:], *block.parents[-1:]):
        last = node
    return last.span.end


class Outline(Breaks):
    """What of a file's statements stays on its line."""

    def __init__(self, written: Written, limit: int) -> None:
        super().__init__(written)
        self.limit = limit

    # -- on one line

    def flat_end(self, end: ast.End) -> str:
        return f"{end.name.text}[{self.flat(end.index)}]" if end.index else end.name.text

    def flat_ends(self, ends: Sequence[ast.End] | None) -> str:
        if ends is None:
            return "node"
        if len(ends) == 1:
            return self.flat_end(ends[0])
        return "{" + ", ".join(map(self.flat_end, ends)) + "}"

    def flat_head(self, block: Block | ast.Op) -> str:
        """A definition up to the end of its parameters."""
        params = ", ".join(map(self._flat_param, params_of(block)))
        return f"{keyword(block)} {block.name.text}" + (f"({params})" if params else "")

    def flat_behind(self, part: Part) -> str:
        """What stands behind the value of a part of the network."""
        attrs, at = behind(part)
        inner = "  ".join(f"{a.target.text} = {self.flat(a.value)}" for a in attrs)
        texts = [f"{{ {inner} }}"] if attrs else []
        return " ".join([*texts, f"at {self.flat(at)}"] if at else texts)

    def one_line(self, statement: Statement) -> str | None:
        """A statement of a `repeat` in one line, or None if it may not be."""
        match statement:
            case ast.Repeat():
                return self._one_line_repeat(statement)
            case ast.Let(name=name, value=value) if not self.broken(value):
                return f"let {name.text} = {self.flat(value)}"
            case ast.Input() | ast.Stem() | ast.Stage() | ast.Head():
                attrs, at = behind(statement)
                values = [statement.value, *(a.value for a in attrs), *([at] if at else [])]
                if any(map(self.broken, values)):
                    return None
                tail = self.flat_behind(statement)
                text = f"{keyword(statement)} {self.flat(statement.value)}"
                return f"{text} {tail}" if tail else text
        return None

    def _one_line_repeat(self, repeat: ast.Repeat) -> str | None:
        end, body = repeat.count.span.end, repeat.body
        if self.broken(repeat.count) or self.written.has_comment(end, repeat.span.end):
            return None
        if not body:
            return f"repeat {self.flat(repeat.count)} {{}}"
        if len(body) > 1 or self.written.newline(end, body[0].span.start):
            return None
        inner = self.one_line(body[0])
        return None if inner is None else f"repeat {self.flat(repeat.count)} {{ {inner} }}"

    def _flat_param(self, param: ast.Param) -> str:
        default = f" = {self.flat(param.default)}" if param.default else ""
        return param.name.text + default

    # -- over several lines

    def is_empty(self, block: Block) -> bool:
        if children(block):
            return False
        opening = self.written.find("{", _head_end(block))
        return not self.written.has_comment(opening, block.span.end)

    def tall_head(self, block: Block | ast.Op, indent: int) -> bool:
        """Whether the parameters of a definition stand one per line."""
        params = params_of(block)
        if not params:
            return False
        width = indent + len(self.flat_head(block)) + (VALUE if isinstance(block, ast.Op) else 2)
        start, end = block.name.span.end, params[-1].span.end
        return self.vertical(start, end, self.param_rows(params)) or width > self.limit

    # -- as rows

    def end_rows(self, ends: Sequence[ast.End]) -> list[Row]:
        return [Row(e.span.start, e.span.end, tail=self.flat_end(e)) for e in ends]

    def param_rows(self, params: Sequence[ast.Param]) -> list[Row]:
        return [self._param(param) for param in params]

    def statement_row(self, statement: Statement, pad: int, indent: int) -> Row:
        """The statement as a row, to align it; of no kind if nothing is to align."""
        span = statement.span
        match statement:
            case ast.Attr(target=target, value=value):
                return self.row(span, _SETTING, (target.text,), "= ", value)
            case ast.Let(name=name, value=value):
                return self.row(span, _SETTING, ("let " + name.text,), "= ", value)
            case ast.Candidate(name=name, value=maybe):
                return self.row(span, "candidate", (name.text,), "= ", maybe)
            case ast.NodeDef(name=name, count=count, value=maybe):
                nodes = name.text + (f"[{self.flat(count)}]" if count else "")
                return self.row(span, "node", ("node".ljust(pad) + " " + nodes,), ": ", maybe)
            case ast.Op(value=value) if not self.tall_head(statement, indent):
                return self.row(span, "op", (self.flat_head(statement),), "= ", value)
            case ast.Edge():
                return self._edge_row(statement, pad, indent)
            case ast.Space() | ast.Cell() | ast.Config() | ast.Phase() | ast.Ops():
                return self._block_row(statement, indent)
        return Row(span.start, span.end)

    def _param(self, param: ast.Param) -> Row:
        if param.default is None:
            return Row(param.span.start, param.span.end, tail=param.name.text)
        return self.row(param.span, "named", (param.name.text,), "= ", param.default)

    def _edge_row(self, edge: ast.Edge, pad: int, indent: int) -> Row:
        sources, targets = self.flat_ends(edge.sources), "-> " + self.flat_ends(edge.targets)
        if len(sources) + len(targets) + pad + indent > self.limit - VALUE:
            return Row(edge.span.start, edge.span.end)
        columns = ("edge".ljust(pad) + " " + sources, targets)
        return self.row(edge.span, "edge", columns, ": ", edge.op)

    def _block_row(self, block: Block, indent: int) -> Row:
        """Blocks of one kind align their `extends`; the others stand alone."""
        start, end = block.span.start, block.span.end
        if not block.parents or self.tall_head(block, indent):
            return Row(start, end)
        empty = self.is_empty(block)
        parents = ", ".join(parent.text for parent in block.parents)
        tail = f"extends {parents} {'{}' if empty else '{'}"
        return Row(
            start, end, keyword(block), (self.flat_head(block),), tail=tail, broken=not empty
        )
