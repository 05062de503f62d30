"""Random edits of `.nas` texts, the same for the same seed."""

import random
import re

from nasdsl import resources

_TOKEN = re.compile(r'\s+|#[^\n]*|"[^"\n]*"|\w+|->|>>|//|\.\.|.')
_JUNK = "{}[]()<>=+-*/%.,:#\"'\\&|;!?@~^`$ \n\t0129azAZ_éß中\x00\x01\u2028\ufffd"
_NUMBERS = ["0", "-1", "1/3", "0.5", "3k", "99999", "{a}", "[1, 2]", "x", "true", '"s"', "50%"]

BUNDLED = {name: resources.read("spaces", name) for name in resources.listing("spaces", ".nas")}
_WORDS = [t for text in BUNDLED.values() for t in _TOKEN.findall(text) if t.strip()]
_NAMES = [word for word in _WORDS if word.isidentifier()]


def mutated(text, seed):
    """The text after one edit or some: tokens deleted, doubled, swapped, replaced, cut, junk."""
    rng = random.Random(seed)
    tokens = _TOKEN.findall(text)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6, 20])):
        _edit(rng, tokens)
    return "".join(tokens)


def _edit(rng, tokens):
    if not tokens:
        tokens.append("x")
    i, j = rng.randrange(len(tokens)), rng.randrange(len(tokens))
    match rng.randrange(9):
        case 0:
            del tokens[i]
        case 1:
            tokens.insert(i, tokens[i])
        case 2:
            tokens[i], tokens[j] = tokens[j], tokens[i]
        case 3 if rng.random() < 0.2:
            del tokens[i:]
        case 4:
            tokens.insert(i, "".join(rng.choice(_JUNK) for _ in range(rng.randrange(1, 4))))
        case 5:
            tokens[i] = rng.choice(_WORDS)
        case 6:
            tokens.insert(i, rng.choice(_WORDS))
        case 7:
            del tokens[i : i + rng.randrange(1, 12)]
        case _:
            tokens[i] = rng.choice(_NAMES if tokens[i].isidentifier() else _NUMBERS)
