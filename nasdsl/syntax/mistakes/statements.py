"""Statements in the wrong place, unknown ones, and those that are written almost right."""

from __future__ import annotations

from nasdsl.diagnostics.model import Label
from nasdsl.diagnostics.suggest import did_you_mean, nearest
from nasdsl.syntax.mistakes.failure import Failure, terminals
from nasdsl.syntax.reserved import KEYWORDS, STATEMENTS
from nasdsl.syntax.scan import Word


def version(failure: Failure) -> str | None:
    """E002: `nas` without a version."""
    if failure.prev is not None and failure.prev.text == "nas" and failure.index == 1:
        return failure.add(
            "E002", failure.place, "`nas` is followed by the language version", "write `nas 1`"
        )
    return None


def comma_after_in(failure: Failure) -> str | None:
    """`in a,` then a keyword: the keyword was read as an input."""
    recent = failure.scan.words[max(0, failure.index - 4) : failure.index]
    for comma, word in zip(recent, recent[1:], strict=False):
        if comma.text != "," or word.text not in KEYWORDS or not word.first:
            continue
        statement = failure.scan.statement(failure.scan.index(comma.span.start))
        if statement and statement[0].text == "in":
            return failure.add(
                "E011",
                comma.span,
                f"`in` ends with a comma, so `{word.text}` was read as an input",
                "remove the comma",
            )
    return None


def wrong_statement(failure: Failure) -> str | None:
    """The contextual lexer reads a misplaced keyword as a name: judge the name."""
    token, prev = failure.token, failure.prev
    if token is not None and failure.inner is failure.block and token.is_name:
        at_start = failure.scan.begins_statement(failure.index)
        if at_start and (failure.kind == "file" or "NAME" not in terminals(failure.error)):
            return _judge_name(failure, token)
    if prev is None or not prev.is_name or failure.inner is not failure.block:
        return None
    if not failure.scan.begins_statement(failure.index - 1):
        return None
    if failure.kind in ("stage", "target", "ops") and prev.text not in KEYWORDS:
        return None
    if prev.text in STATEMENTS.get(failure.kind, ()):
        return None
    if token is not None and token.text in ("=", ".", ":", ",", "=="):
        return None
    return _judge_name(failure, prev)


def _judge_name(failure: Failure, word: Word) -> str | None:
    advice: str | None
    legal = STATEMENTS.get(failure.kind, ())
    before = failure.scan.statement(failure.scan.index(word.span.start))
    if word.text == "by" and before and before[0].text == "keep":
        return None
    if word.text in legal:
        return None
    homes = [kind for kind, words in STATEMENTS.items() if word.text in words]
    if homes:
        home = homes[0]
        where = "at the top of a file" if home == "file" else f"in a {home}"
        here = (
            f"in {failure.block.title and _titled(failure)}"
            if failure.block
            else "at the top of a file"
        )
        if failure.block is not None:
            line, column = failure.source.location(failure.block.span.start)
            advice = f"move it out of the braces opened at {line}:{column}"
            labels: tuple[Label, ...] = (Label(failure.block.span, "opened here"),)
        else:
            advice, labels = f"move it into a {home}", ()
        return failure.add(
            "E005", word.span, f"`{word.text}` belongs {where}, not {here}", advice, *labels
        )
    near = nearest(word.text, legal)
    if near is not None and near == word.text.lower():
        advice = f"keywords are lower case: `{near}`"
    elif near is not None:
        advice = f"did you mean `{near}`?"
    else:
        advice = did_you_mean(word.text, legal, limit=14)
    return failure.add(
        "E004", word.span, f"unknown statement `{word.text}` {_where(failure)}", advice
    )


def _titled(failure: Failure) -> str:
    title = failure.block.title if failure.block else ""
    kind, _, name = title.partition(" ")
    return f"{kind} `{name}`" if name and kind not in ("repeat", "stage") else f"a {kind}"


def _where(failure: Failure) -> str:
    if failure.block is None:
        return "at the top of a file"
    article = "an" if failure.kind[0] in "aeio" else "a"
    return f"in {article} {failure.kind}"


def keep_by(failure: Failure) -> str | None:
    """E018: `keep … by …`, which the recipe decides."""
    for back in (0, 1):
        i = failure.index - back
        if 0 < i < len(failure.scan.words) and failure.scan.words[i].text == "by":
            before = failure.scan.statement(i)
            if before and before[0].text == "keep":
                return failure.add(
                    "E018",
                    failure.scan.words[i].span,
                    "`keep` takes no `by`",
                    "the recipe measures: `select = argmax`",
                )
    return None


def arrow(failure: Failure) -> str | None:
    """E010: an edge without `->`."""
    if not failure.statement or failure.statement[0].text != "edge":
        return None
    texts = [w.text for w in failure.statement]
    if "->" in texts or failure.place.text.isalnum() and failure.inner is not failure.block:
        return None
    if failure.inner is not failure.block and failure.place.text not in (">", "=", "-"):
        return None
    source = "".join(texts[1:]) or "a"
    return failure.add(
        "E010",
        failure.place,
        "expected `->` between the ends of an edge",
        f"`edge {source} -> x`",
    )


def block_after_at(failure: Failure) -> str | None:
    """E019: the braces of a stage after `at`."""
    texts = [w.text for w in failure.statement]
    if failure.place.text == "{" and texts[:1] == ["stage"] and "at" in texts:
        return failure.add(
            "E019", failure.place, "the block comes before `at`", "`stage c { … } at 1/3`"
        )
    return None


def comma(failure: Failure) -> str | None:
    """E007: a comma between statements."""
    if failure.place.text == "," and failure.inner is failure.block:
        return failure.add(
            "E007", failure.place, "statements are not separated by commas", "remove `,`"
        )
    return None


def colon(failure: Failure) -> str | None:
    """E006: `:` or `==` for `=`."""
    if (
        failure.place.text in (":", "==")
        and failure.prev
        and failure.prev.is_name
        and failure.statement
    ):
        path = "".join(w.text for w in failure.statement)
        value = (
            failure.scan.words[failure.index + 1].text
            if failure.index + 1 < len(failure.scan.words)
            else "…"
        )
        if failure.statement[0].text not in KEYWORDS:
            return failure.add(
                "E006", failure.place, f"expected `=` after `{path}`", f"`{path} = {value}`"
            )
    return None
