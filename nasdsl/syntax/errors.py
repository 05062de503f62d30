"""A parser failure as a diagnostic that names the mistake, not the automaton's surprise."""

from __future__ import annotations

from typing import Any

from lark import Token
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from nasdsl.diagnostics.model import Diagnostics, Label
from nasdsl.diagnostics.suggest import did_you_mean, nearest
from nasdsl.source import Source, Span
from nasdsl.syntax.builder import MAX_DEPTH
from nasdsl.syntax.reserved import KEYWORDS, STATEMENTS
from nasdsl.syntax.scan import Bracket, Scan, Word

_SIGNS = {
    "&": "write `and`",
    "&&": "write `and`",
    "|": "write `or`",
    "||": "write `or`",
    ";": "statements need no separator; remove `;`",
    "!": "write `not`",
    "?": "write `a if condition else b`",
    "^": None,
    "~": None,
    "@": None,
}
_COMPARE = ("==", "!=", "<", "<=", ">", ">=")
_PLURAL = {"file": "at the top of a file"}


def readable(source: Source, diags: Diagnostics) -> bool:
    """Whether the text is text: E024 for control characters, as binary files have them."""
    for i, char in enumerate(source.text):
        if ord(char) < 32 and char not in "\n\t" or char in "\x7f\ufffd":
            diags.add(
                "E024",
                Span(source, i, i + 1),
                f"this is not a text file (character U+{ord(char):04X})",
                help="a .nas file is UTF-8 text",
            )
            return False
    return True


def nesting(source: Source) -> Span | None:
    """Where brackets nest deeper than MAX_DEPTH, found before anything recursive sees them."""
    depth = 0
    quoted = comment = False
    for i, char in enumerate(source.text):
        if char == "\n":
            quoted = comment = False
        elif comment:
            continue
        elif char == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif char == "#":
            comment = True
        elif char in "([{":
            depth += 1
            if depth > MAX_DEPTH:
                return Span(source, i, i + 1)
        elif char in ")]}":
            depth -= 1
    return None


def report_depth(span: Span, diags: Diagnostics) -> None:
    diags.add(
        "E023",
        span,
        f"values nest deeper than {MAX_DEPTH} levels",
        help="name a part with `let` or `op`",
    )


def begins_with_version(source: Source, diags: Diagnostics) -> bool:
    """E001 unless the first word is `nas`."""
    scan = Scan(Source(name=source.name, text=source.text[:2000]))
    if scan.words and scan.words[0].text == "nas":
        return True
    diags.add(
        "E001",
        Span(source, 0, 0),
        "the file must begin with `nas 1`",
        help="insert `nas 1` as the first line",
    )
    return False


def give_up(offset: int, source: Source, diags: Diagnostics) -> None:
    diags.add(
        "E025",
        Span(source, offset, offset + 1),
        "too many syntax errors; the rest of the file was not read",
        help="mend the first ones and check again",
    )


def place_of(error: UnexpectedToken | UnexpectedCharacters, source: Source) -> Span:
    """The text on which the parser failed."""
    if isinstance(error, UnexpectedToken):
        token = error.token
        if token.type == "$END":
            return Span(source, len(source.text), len(source.text))
        return Span(source, token.start_pos or 0, token.end_pos or 0)
    start = error.pos_in_stream or 0
    return Span(source, start, start + 1)


def diagnose(
    error: UnexpectedToken | UnexpectedCharacters,
    last: Token | None,
    scan: Scan,
    diags: Diagnostics,
) -> tuple[str, int]:
    """Add the diagnostic of a failure; its code and where the bad statement begins."""
    return _Case(error, last, scan, diags).judge()


class _Case:
    """One failure and what stands around it."""

    def __init__(self, error: Any, last: Token | None, scan: Scan, diags: Diagnostics) -> None:
        self.source = scan.source
        self.scan = scan
        self.diags = diags
        self.place = place_of(error, self.source)
        self.index = scan.index(self.place.start)
        at_end = self.index >= len(scan.words)
        self.token: Word | None = None if at_end else scan.words[self.index]
        self.prev: Word | None = scan.words[self.index - 1] if self.index else None
        self.prev2: Word | None = scan.words[self.index - 2] if self.index > 1 else None
        self.open = scan.enclosing(self.place.start)
        blocks = [b for b in self.open if b.block is not None]
        self.block = blocks[-1] if blocks else None
        self.kind = str(self.block.block) if self.block else "file"
        self.inner: Bracket | None = self.open[-1] if self.open else None
        self.statement = scan.statement(self.index)
        self.expected = _expected(error)
        self.error = error

    def judge(self) -> tuple[str, int]:
        start = self.statement[0].span.start if self.statement else self.place.start
        for test in (
            self._strings,
            self._end,
            self._version,
            self._comma_after_in,
            self._wrong_statement,
            self._comment_sign,
            self._sign,
            self._keep_by,
            self._stray_close,
            self._unclosed,
            self._empty_braces,
            self._keyword_value,
            self._colon,
            self._comma,
            self._arrow,
            self._block_after_at,
            self._chained_comparison,
            self._side_by_side,
        ):
            code = test()
            if code is not None:
                return code, start
        found = f"`{self.place.text}`" if self.place.text.strip() else "the end of the line"
        wanted = f"; expected {self.expected}" if self.expected else ""
        self._add("E022", self.place, f"unexpected {found}{wanted}")
        return "E022", start

    def _add(
        self, code: str, span: Span, message: str, help: str | None = None, *labels: Label
    ) -> str:
        self.diags.add(code, span, message, help=help, labels=labels)
        return code

    def _where(self) -> str:
        if self.block is None:
            return "at the top of a file"
        article = "an" if self.kind[0] in "aeio" else "a"
        return f"in {article} {self.kind}"

    def _strings(self) -> str | None:
        if self.place.text in ("'", '"'):
            return self._add("E012", self.place, 'strings are written `"…"` on one line')
        return None

    def _end(self) -> str | None:
        if self.token is not None:
            return None
        behind = self.prev.span.point() if self.prev else self.place
        if self.inner is None:
            return self._add(
                "E020",
                behind,
                "the file ends in the middle of a statement",
                f"expected {self.expected}" if self.expected else None,
            )
        line, column = self.source.location(self.inner.span.start)
        if self.inner.block is None:
            return self._not_closed(self.inner, behind)
        return self._add(
            "E003",
            behind,
            f"the file ends inside `{self.inner.title}`",
            f"opened at {line}:{column}; add `}}`",
            Label(self.inner.span, "opened here"),
        )

    def _version(self) -> str | None:
        if self.prev is not None and self.prev.text == "nas" and self.index == 1:
            return self._add(
                "E002", self.place, "`nas` is followed by the language version", "write `nas 1`"
            )
        return None

    def _not_closed(self, bracket: Bracket, behind: Span) -> str:
        line, column = self.source.location(bracket.span.start)
        closer = {"(": ")", "[": "]", "{": "}"}[bracket.char]
        return self._add(
            "E008",
            behind,
            f"`{bracket.char}` is not closed",
            f"opened at {line}:{column}; add `{closer}` or `,`",
            Label(bracket.span, "opened here"),
        )

    def _comma_after_in(self) -> str | None:
        """`in a,` then a keyword: the keyword was read as an input."""
        recent = self.scan.words[max(0, self.index - 4) : self.index]
        for comma, word in zip(recent, recent[1:], strict=False):
            if comma.text != "," or word.text not in KEYWORDS or not word.first:
                continue
            statement = self.scan.statement(self.scan.index(comma.span.start))
            if statement and statement[0].text == "in":
                return self._add(
                    "E011",
                    comma.span,
                    f"`in` ends with a comma, so `{word.text}` was read as an input",
                    "remove the comma",
                )
        return None

    def _wrong_statement(self) -> str | None:
        """The contextual lexer reads a misplaced keyword as a name: judge the name."""
        token, prev = self.token, self.prev
        if token is not None and self.inner is self.block and token.is_name:
            at_start = self.scan.begins_statement(self.index)
            if at_start and (self.kind == "file" or "NAME" not in _types(self.error)):
                return self._judge_name(token)
        if prev is None or not prev.is_name or self.inner is not self.block:
            return None
        if not self.scan.begins_statement(self.index - 1):
            return None
        if self.kind in ("stage", "target", "ops") and prev.text not in KEYWORDS:
            return None
        if prev.text in STATEMENTS.get(self.kind, ()):
            return None
        if token is not None and token.text in ("=", ".", ":", ",", "=="):
            return None
        return self._judge_name(prev)

    def _judge_name(self, word: Word) -> str | None:
        advice: str | None
        legal = STATEMENTS.get(self.kind, ())
        before = self.scan.statement(self.scan.index(word.span.start))
        if word.text == "by" and before and before[0].text == "keep":
            return None
        if word.text in legal:
            return None
        homes = [kind for kind, words in STATEMENTS.items() if word.text in words]
        if homes:
            home = homes[0]
            where = "at the top of a file" if home == "file" else f"in a {home}"
            here = (
                f"in {self.block.title and self._titled()}"
                if self.block
                else "at the top of a file"
            )
            if self.block is not None:
                line, column = self.source.location(self.block.span.start)
                advice = f"move it out of the braces opened at {line}:{column}"
                labels: tuple[Label, ...] = (Label(self.block.span, "opened here"),)
            else:
                advice, labels = f"move it into a {home}", ()
            return self._add(
                "E005", word.span, f"`{word.text}` belongs {where}, not {here}", advice, *labels
            )
        near = nearest(word.text, legal)
        if near is not None and near == word.text.lower():
            advice = f"keywords are lower case: `{near}`"
        elif near is not None:
            advice = f"did you mean `{near}`?"
        else:
            advice = did_you_mean(word.text, legal, limit=14)
        return self._add(
            "E004", word.span, f"unknown statement `{word.text}` {self._where()}", advice
        )

    def _titled(self) -> str:
        title = self.block.title if self.block else ""
        kind, _, name = title.partition(" ")
        return f"{kind} `{name}`" if name and kind not in ("repeat", "stage") else f"a {kind}"

    def _comment_sign(self) -> str | None:
        if self.place.text.startswith("//") and self.token and self.token.first:
            return self._add("E013", self.place, "`//` divides; comments begin with `#`")
        if self.place.text == "/" and self.token and self.token.first:
            return self._add("E013", self.place, "`/` divides; comments begin with `#`")
        return None

    def _sign(self) -> str | None:
        text = self.token.text if self.token else ""
        if text in _SIGNS:
            span = Span(self.source, self.place.start, self.place.start + len(text))
            return self._add("E013", span, f"`{text}` is not a sign of the language", _SIGNS[text])
        if isinstance(self.error, UnexpectedCharacters):
            return self._add(
                "E013", self.place, f"`{self.place.text}` is not a sign of the language"
            )
        return None

    def _keep_by(self) -> str | None:
        for back in (0, 1):
            i = self.index - back
            if 0 < i < len(self.scan.words) and self.scan.words[i].text == "by":
                before = self.scan.statement(i)
                if before and before[0].text == "keep":
                    return self._add(
                        "E018",
                        self.scan.words[i].span,
                        "`keep` takes no `by`",
                        "the recipe measures: `select = argmax`",
                    )
        return None

    def _stray_close(self) -> str | None:
        if self.place.text in (")", "]", "}") and self.token in self.scan.stray:
            return self._add("E026", self.place, f"`{self.place.text}` closes nothing", "remove it")
        return None

    def _unclosed(self) -> str | None:
        inner, prev, token = self.inner, self.prev, self.token
        if inner is None or inner.block is not None or prev is None or token is None:
            return None
        mismatch = token.text in (")", "]", "}") and _PAIR[token.text] != inner.char
        if mismatch or (token.first and token.text not in (")", "]", "}") and token.text != ","):
            if not prev.is_value and prev.text not in (")", "]", "}"):
                return None
            return self._not_closed(inner, prev.span.point())
        return None

    def _empty_braces(self) -> str | None:
        if self.place.text == "}" and self.prev is not None and self.prev.text == "{":
            return self._add(
                "E016", self.place, "`{}` is empty: set or map?", "leave it out, or `none`"
            )
        return None

    def _keyword_value(self) -> str | None:
        for word in (self.prev, self.token):
            if word is None or word.text not in KEYWORDS or word.first:
                continue
            at = self.scan.index(word.span.start)
            before = self.scan.words[at - 1].text if at else ""
            if before not in (
                "=",
                "(",
                ",",
                ":",
                "+",
                "-",
                "*",
                "/",
                ">>",
                "one_of",
                "fresh",
                "[",
                "{",
            ):
                continue
            if word.text in ("pick", "keep"):
                return self._add(
                    "E017",
                    word.span,
                    f"`{word.text}` is a statement of cells",
                    f"`{word.text} 2 per x[3]`; for values `one_of`",
                )
            if word.text in ("if", "else", "and", "or", "not", "int", "float", "one_of", "fresh"):
                continue
            return self._add(
                "E021", word.span, f"`{word.text}` is a keyword, not a value", "choose another name"
            )
        return None

    def _colon(self) -> str | None:
        if self.place.text in (":", "==") and self.prev and self.prev.is_name and self.statement:
            path = "".join(w.text for w in self.statement)
            value = (
                self.scan.words[self.index + 1].text
                if self.index + 1 < len(self.scan.words)
                else "…"
            )
            if self.statement[0].text not in KEYWORDS:
                return self._add(
                    "E006", self.place, f"expected `=` after `{path}`", f"`{path} = {value}`"
                )
        return None

    def _comma(self) -> str | None:
        if self.place.text == "," and self.inner is self.block:
            return self._add(
                "E007", self.place, "statements are not separated by commas", "remove `,`"
            )
        return None

    def _arrow(self) -> str | None:
        if not self.statement or self.statement[0].text != "edge":
            return None
        texts = [w.text for w in self.statement]
        if "->" in texts or self.place.text.isalnum() and self.inner is not self.block:
            return None
        if self.inner is not self.block and self.place.text not in (">", "=", "-"):
            return None
        source = "".join(texts[1:]) or "a"
        return self._add(
            "E010",
            self.place,
            "expected `->` between the ends of an edge",
            f"`edge {source} -> x`",
        )

    def _block_after_at(self) -> str | None:
        texts = [w.text for w in self.statement]
        if self.place.text == "{" and texts[:1] == ["stage"] and "at" in texts:
            return self._add(
                "E019", self.place, "the block comes before `at`", "`stage c { … } at 1/3`"
            )
        return None

    def _chained_comparison(self) -> str | None:
        if self.place.text in _COMPARE and any(w.text in _COMPARE for w in self.statement):
            return self._add("E015", self.place, "comparisons do not chain", "`a == b and b == c`")
        return None

    def _side_by_side(self) -> str | None:
        token, prev = self.token, self.prev
        if token is None or prev is None or not token.is_value:
            return None
        if prev.is_value and prev.text not in KEYWORDS or prev.text in (")", "]"):
            return self._add(
                "E014",
                token.span,
                f"two values side by side: `{prev.text}` and `{token.text}`",
                "an operator or a new line's name is missing",
            )
        return None


_PAIR = {")": "(", "]": "[", "}": "{"}

_NAMES = {
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a string",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "EQUAL": "`=`",
    "COMMA": "`,`",
    "COLON": "`:`",
    "DOT": "`.`",
    "SEQ": "`>>`",
    "PLUS": "`+`",
    "MINUS": "`-`",
    "STAR": "`*`",
    "SLASH": "`/`",
    "DSLASH": "`//`",
    "CMP": "a comparison",
    "$END": "the end",
}


def _types(error: Any) -> set[str]:
    return set(getattr(error, "accepts", None) or getattr(error, "expected", None) or ())


def _expected(error: Any) -> str:
    """What could stand at the place, in words, where that is short enough to help."""
    types = _types(error) | set(getattr(error, "allowed", None) or ())
    if {"NUMBER", "STRING", "NAME"} <= types:
        return "a value"
    names = sorted(
        _NAMES.get(t, f"`{'->' if t.startswith('__ANON') else t.lower()}`") for t in types
    )
    return " or ".join(names) if 0 < len(names) <= 4 else ""
