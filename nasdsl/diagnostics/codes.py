"""The catalogue of codes: what each means, why the rule exists, how to mend it.

`wrong` is a complete text whose first error has the code, `right` the same mended; the tests
check both. Codes are never reused: 0xx text, 1xx names, 2xx spaces, 3xx recipes and training,
4xx data, 5xx limits and what does not go together; `W` are warnings.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Code:
    """One code of the catalogue."""

    number: str
    title: str
    explanation: str
    wrong: str
    right: str


def explain(number: str) -> str:
    """The page of a code for a terminal, at most 80 columns. Raises KeyError."""
    code = CODES[number.upper()]
    lines = [f"{code.number}: {code.title}", ""]
    for paragraph in code.explanation.split("\n\n"):
        lines += [*textwrap.wrap(" ".join(paragraph.split()), 74), ""]
    for title, text in (("Wrong:", code.wrong), ("Right:", code.right)):
        lines += [title, "", *_shown(text), ""]
    return "\n".join(lines[:-1])


def _shown(text: str) -> list[str]:
    """An example, indented; what is too long or no text to show is shortened."""
    lines = ["".join(c if c.isprintable() else "?" for c in s) for s in text.splitlines()]
    if len(lines) > 40:
        lines = [*lines[:4], "…"]
    return [f"    {s[:75]}…" if len(s) > 76 else f"    {s}".rstrip() for s in lines]


def _network(*statements: str, before: str = "", head: str = "linear(10)") -> str:
    """A space of the given statements, an input and a head around them."""
    body = "".join(f"  {line}\n" for s in statements for line in s.split("\n"))
    top = f"{before}\n" if before else ""
    return (
        f"nas 1\n{top}space s {{\n  width = 8\n  input image(3, 32, 32)\n{body}"
        f"  head global_avg_pool >> {head}\n}}\n"
    )


def _cell(*statements: str, stage: str = "stage c", before: str = "") -> str:
    """A space with one cell of the given statements."""
    body = "".join(f"\n  {s}" for s in statements)
    return _network(f"cell c {{{body}\n}}", stage, before=before)


def _recipe(*statements: str, before: str = "") -> str:
    body = "".join(f"  {s}\n" for s in statements)
    top = f"{before}\n" if before else ""
    return f"nas 1\n{top}recipe r {{\n{body}}}\n"


def _split(train: str, valid: str) -> str:
    return f"nas 1\nsplit s {{\n  search.train = {train}\n  search.valid = {valid}\n}}\n"


_DARTS = 'from "darts.nas" import darts'
_PAIR = """nas 1
from "small.nas" import covertype, one_edge, tabular
from "data/images.nas" import cifar10
from "recipes/darts.nas" import darts
recipe deeper extends darts {
  network.%s
}
suite q {
  spaces   = [%s]
  recipes  = [%s]
}
"""

_ALL = (
    # ---- 0xx: the text
    Code(
        "E001",
        "the file must begin with `nas 1`",
        """The first statement of a file names the version of the language it is written in. A
        later version may give words a new meaning; with the version in the file, old files keep
        the meaning they were written with. Insert `nas 1` as the first line. Comments may stand
        before it.""",
        "let c = 16\n",
        "nas 1\nlet c = 16\n",
    ),
    Code(
        "E002",
        "unknown language version",
        """The file says that it is written in a version of the language that this nasdsl does
        not read. Either the file is newer than the program: upgrade nasdsl. Or the number is a
        slip: this version reads `nas 1`. Nothing is guessed, because a word may mean something
        else in another version.""",
        "nas 2\nlet c = 16\n",
        "nas 1\nlet c = 16\n",
    ),
    Code(
        "E003",
        "the file ends inside a block",
        """A `{` that opens a block has no `}`. The caret stands behind the last word of the file,
        the second label at the brace that is still open. If that block looks complete, an
        inner block before it has lost its brace: compare the indentation.""",
        "nas 1\nrecipe r {\n  epochs = 50\n",
        "nas 1\nrecipe r {\n  epochs = 50\n}\n",
    ),
    Code(
        "E004",
        "unknown statement",
        """A block has a fixed list of statements, each begins with its keyword; everything else
        is `name = value`. The word here is neither. Most often it is a misspelt keyword (the
        help line names the nearest) or one written with a capital letter: keywords are lower
        case.""",
        _cell("in   a", "nod  x", "edge a -> x : conv(3)", "out  x"),
        _cell("in   a", "node x", "edge a -> x : conv(3)", "out  x"),
    ),
    Code(
        "E005",
        "a statement in the wrong block",
        """The keyword exists, but it belongs in another kind of block: `stage` and `head` in a
        space, `node` and `edge` in a cell, `phase` in a recipe, `space` and `recipe` at the top
        of a file. Often a brace closes too late, so that the statement is still inside the block
        before it: look at the brace the label points at.""",
        _cell("in   a", "stage conv(3)", "out  a"),
        _network("cell c {\n  in   a\n  out  a\n}", "stage conv(3)", "stage c"),
    ),
    Code(
        "E006",
        "`=` expected after a name",
        """Values are given with `=`. The colon is kept for types of another kind: the operation
        of an edge (`edge a -> b : conv(3)`), of a node, and the values of a map (`{a: 1}`); two
        `=` compare.""",
        _recipe("epochs: 50"),
        _recipe("epochs = 50"),
    ),
    Code(
        "E007",
        "statements are not separated by commas",
        """A statement ends where the next one begins, whatever the line breaks. Commas stand only
        inside brackets, and between the names of `in`, `extends` and `import`. Remove the
        comma.""",
        _recipe("epochs = 50,", "batch = 64"),
        _recipe("epochs = 50", "batch = 64"),
    ),
    Code(
        "E008",
        "a bracket is not closed",
        """A `(`, `[` or `{` of a value has no partner. Newlines mean nothing in the language, so
        the value goes on until something stands there that cannot belong to it; the caret is
        behind the last word that could. Add the closing bracket there, or a comma if the list
        was meant to go on.""",
        _recipe("weights = sgd(lr = 0.1", "batch = 64"),
        _recipe("weights = sgd(lr = 0.1)", "batch = 64"),
    ),
    Code(
        "E009",
        "a keyword as a name",
        """A keyword may not be the name of a definition, a parameter or an attribute, in any
        block, even where the parser could tell them apart: a reader could not. In a suite the
        lists are called `spaces`, `recipes`, `datasets`, `splits` and `retrain`. Argument names
        (`conv(3, out = 8)`) may be keywords.""",
        'nas 1\nfrom "data/splits.nas" import held_out\nsuite q {\n  split = held_out\n}\n',
        'nas 1\nfrom "data/splits.nas" import held_out\nsuite q {\n  splits = [held_out]\n}\n',
    ),
    Code(
        "E010",
        "`->` expected between the ends of an edge",
        """An edge is written `edge SOURCE -> TARGET : OPERATION`. Several ends stand in braces:
        `edge {a, b} -> x`. A single `>`, `=>` or a comma is not an arrow.""",
        _cell("in   a", "node x", "edge a > x : conv(3)", "out  x"),
        _cell("in   a", "node x", "edge a -> x : conv(3)", "out  x"),
    ),
    Code(
        "E011",
        "`in` ends with a comma",
        """`in a, b` lists the inputs of a cell. After a trailing comma another input is expected,
        and because newlines mean nothing the keyword of the next statement is read as its name.
        Remove the comma.""",
        _cell("in   a,", "node x", "edge a -> x : conv(3)", "out  x"),
        _cell("in   a", "node x", "edge a -> x : conv(3)", "out  x"),
    ),
    Code(
        "E012",
        "a string that is no string",
        """Strings are written between double quotes on one line: `"data/images.nas"`. There are
        no single quotes, no escapes and no strings over several lines; strings serve for
        file names and names of foreign things only.""",
        "nas 1\nfrom 'darts.nas' import darts\n",
        'nas 1\nfrom "darts.nas" import darts\n',
    ),
    Code(
        "E013",
        "a sign that the language does not have",
        """Comments begin with `#`; `//` divides and floors. Logic is written in words: `and`,
        `or`, `not`. Statements need no `;`. A choice between two values is `a if condition
        else b`.""",
        _recipe("epochs = 50;", "batch = 64"),
        _recipe("epochs = 50", "batch = 64"),
    ),
    Code(
        "E014",
        "two values side by side",
        """Between two values stands an operator, a comma or the name of the next attribute, and
        here stands none. A name may not begin with a digit: `2nodes` is the number 2 and the
        name `nodes`. Two numbers in a row are one number with a space in it, or a list without
        its comma.""",
        "nas 1\nlet sizes = [16 24]\n",
        "nas 1\nlet sizes = [16, 24]\n",
    ),
    Code(
        "E015",
        "comparisons do not chain",
        """`a == b == c` reads differently in different languages, so it is not allowed. Write what
        is meant: `a == b and b == c`. The same holds for `1 < n < 8`: write `1 < n and n < 8`.""",
        _recipe("batch = 64 if 1 < 2 < 3 else 96"),
        _recipe("batch = 64 if 1 < 2 and 2 < 3 else 96"),
    ),
    Code(
        "E016",
        "empty braces as a value",
        """`{}` could be an empty set or an empty map, and neither is useful: nothing can be chosen
        from an empty set. Leave the attribute out, or write `none` where a slot of a recipe is
        to be removed. `target {}` and an empty block are something else and allowed.""",
        _recipe("drop_op = {}"),
        _recipe("drop_op = none"),
    ),
    Code(
        "E017",
        "`pick` or `keep` as a value",
        """`pick` and `keep` are statements of cells and speak of edges: `pick 2 per x[3]`. To
        choose between values or operations write `one_of {…}`. A choice of several edges at
        once is not a value; it belongs to the cell whose node it feeds.""",
        "nas 1\nlet kernel = pick 1 of {3, 5}\n",
        "nas 1\nlet kernel = one_of {3, 5}\n",
    ),
    Code(
        "E018",
        "`keep` takes no `by`",
        """A cell says how many edges of a node stay, not how their strength is measured: that is
        the business of the search method, and the same space serves many. Put it into the
        recipe: `select = argmax`, `threshold(…)`, `perturbation(…)`.""",
        _cell(
            "in   a",
            "node x",
            "edge a -> x : one_of {conv(3), conv(5)}",
            "keep 1 per node by max",
            "out  x",
        ),
        _cell(
            "in   a",
            "node x",
            "edge a -> x : one_of {conv(3), conv(5)}",
            "keep 1 per node",
            "out  x",
        ),
    ),
    Code(
        "E019",
        "the block of a stage stands before `at`",
        """`stage X { … } at f`: first what the stage is, its own stride and width included, then
        where in the `repeat` it stands. The block may be left out; `at` then follows the name
        of the stage directly.""",
        _network(
            "repeat 3 {\n  stage relu\n  stage conv(3, stride = stride) at 1/3 { stride = 2 }\n}"
        ),
        _network(
            "repeat 3 {\n  stage relu\n  stage conv(3, stride = stride) { stride = 2 } at 1/3\n}"
        ),
    ),
    Code(
        "E020",
        "the file ends in the middle of a statement",
        """Something must follow the last word of the file: a value after `=`, a name after
        `space`, a block after its name. Perhaps the file was cut off when it was copied.""",
        "nas 1\nlet c =\n",
        "nas 1\nlet c = 16\n",
    ),
    Code(
        "E021",
        "a keyword as a value",
        """The word begins a statement, so it cannot name a value as well. If it is meant as
        a statement, the value before it is missing; if it is meant as a name, choose another
        one.""",
        "nas 1\nlet c = stage x\n",
        "nas 1\nlet c = first_stage\n",
    ),
    Code(
        "E022",
        "something else was expected here",
        """The text cannot go on with this word. The message says what could stand here where
        that is short. The cause is often one word earlier: a missing name, value or bracket.
        Reading goes on with the next statement, so other mistakes of the file are reported as
        well.""",
        _recipe("epochs = = 50"),
        _recipe("epochs = 50"),
    ),
    Code(
        "E023",
        "values nest too deeply",
        """Brackets, operators and lists may nest up to a hundred levels; nobody reads more,
        and the bound keeps every later stage safe from running out of stack. Name a part with
        `let` or `op` and use the name.""",
        "nas 1\nlet c = " + "(" * 101 + "1" + ")" * 101 + "\n",
        "nas 1\nlet c = 1\n",
    ),
    Code(
        "E024",
        "this is not a text file",
        """A `.nas` file is UTF-8 text. Here stands a control character or a byte that is not
        UTF-8, as in pictures, archives and files of another encoding. Check that the right file
        is meant, and save it as UTF-8.""",
        "nas 1\nlet c = 16\x00\n",
        "nas 1\nlet c = 16\n",
    ),
    Code(
        "E025",
        "too many syntax errors",
        """After fifty syntax errors the rest of the file is not read: it is probably not a `.nas`
        file, or one early mistake makes everything behind it look wrong. Mend the first ones and
        check again.""",
        "nas 1\n" + "let = 3\n" * 60,
        "nas 1\nlet c = 3\n",
    ),
    Code(
        "E026",
        "a bracket closes nothing",
        """A `)`, `]` or `}` stands where nothing is open. Remove it, or add the opening one. After
        an edit of a block it is usually the brace of a statement that has gone.""",
        "nas 1\nlet c = 16)\n",
        "nas 1\nlet c = 16\n",
    ),
    Code(
        "E027",
        "set and map mixed",
        """Braces hold either values (`{a, b}`, a set) or pairs (`{a: 1, b: 2}`, a map). Give every
        entry a value, or none. A mixture has no meaning: a set says what is there, a map gives
        each entry a value of its own.""",
        _recipe("drop_op = {skip_connect: 0.3, none}"),
        _recipe("drop_op = {skip_connect: 0.3, none: 0}"),
    ),
    Code(
        "E028",
        "a number out of range",
        """Numbers have at most 300 digits and exponents up to 300; `exp` takes what lies between
        -700 and 700. Arithmetic is exact, so larger numbers would cost time and memory, and no
        computer could train with them. It is a slip as a rule: a lost sign, or a `k` too much.""",
        "nas 1\nlet c = 1e999\n",
        "nas 1\nlet c = 1e9\n",
    ),
    # ---- 1xx: names, files, inheritance
    Code(
        "E101",
        "unknown name",
        """The name is defined neither in the block nor in the file, is not imported and not built
        in. Names of other files must be imported, one by one or as a whole: `import "x.nas" as
        x`, then `x.name`. Operations of plug-ins carry the plug-in's name in front and need the
        plug-in installed.""",
        'nas 1\nfrom "darts.nas" import darts8\nops mine extends darts8 {\n  sep_cnov_7x7\n}\n',
        'nas 1\nfrom "darts.nas" import darts8, sep_conv\nops mine extends darts8 {\n'
        "  sep_conv_7x7 = sep_conv(7)\n}\n",
    ),
    Code(
        "E102",
        "set or defined twice",
        """A name has one meaning in its scope; a second definition would silently win or lose.
        Both places are shown: keep one. To change something inherited, write it once in the
        block that extends. Two imports of one name: import one of the files with `import … as`.
        """,
        f"nas 1\n{_DARTS}\nspace wide extends darts {{\n  C = 18\n  C = 20\n}}\n",
        f"nas 1\n{_DARTS}\nspace wide extends darts {{\n  C = 18\n}}\n",
    ),
    Code(
        "E103",
        "no such parameter",
        """A block that extends another may set its parameters and write its parts anew, but
        nothing that is not there: a misspelt name would otherwise be ignored without a word. The
        help line lists the parameters. A new parameter is declared in the header: `space
        s(depth = 3) extends …`.""",
        f"nas 1\n{_DARTS}\nspace wide extends darts {{\n  chanels = 18\n}}\n",
        f"nas 1\n{_DARTS}\nspace wide extends darts {{\n  C = 18\n}}\n",
    ),
    Code(
        "E104",
        "both parents change the same thing",
        """A block may extend several others as long as what they change, compared with what they
        share, is disjoint. Here two parents give different values, and there is no order of
        precedence to learn: the child says which one it means. Both places are shown; write the
        attribute in the child. If one of the parents extends the other, its value wins and no
        error is given.""",
        'nas 1\nfrom "recipes/robust.nas" import sdarts_adv, sdarts_rs\n'
        "recipe both extends sdarts_rs, sdarts_adv {}\n",
        'nas 1\nfrom "recipes/robust.nas" import sdarts_adv, sdarts_rs\n'
        "recipe both extends sdarts_rs, sdarts_adv {\n  perturb = random(eps = 0.3)\n}\n",
    ),
    Code(
        "E105",
        "imports may not leave their folder",
        """A file may import what lies beside or below it (`"./x.nas"`), from the folders given
        with `--path`, and from the bundled library. `..` and absolute paths are refused, so that
        a file means the same on every machine and reading a stranger's file cannot touch others.
        """,
        'nas 1\nfrom "../darts.nas" import darts\n',
        'nas 1\nfrom "darts.nas" import darts\n',
    ),
    Code(
        "E106",
        "a circle of imports or of `extends`",
        """Files that import each other, and blocks that extend each other, have no beginning: what
        they mean would depend on where reading starts. The help line shows the ring. Move what
        both need into a third file or block.""",
        "nas 1\nrecipe a extends b {}\nrecipe b extends a {}\n",
        "nas 1\nrecipe a extends b {}\nrecipe b {}\n",
    ),
    Code(
        "E107",
        "an operator does not join these values",
        """`+` adds numbers, joins lists and sets, and puts operations in parallel; `-` subtracts
        numbers and sets. `one_of` binds tighter than both, so `one_of S - {none}` subtracts a
        set from a decision. Put the set into brackets: `one_of (S - {none})`.""",
        f"nas 1\n{_DARTS}, darts8\nspace s extends darts {{\n"
        "  op link = one_of darts8 - {none}\n}\n",
        f"nas 1\n{_DARTS}, darts8\nspace s extends darts {{\n"
        "  op link = one_of (darts8 - {none})\n}\n",
    ),
    Code(
        "E108",
        "a block extends another kind of block",
        """A space extends spaces, a recipe extends recipes, and so on: only blocks of one kind
        have the same parts. To use a recipe on a space, name both in a `suite` or on the command
        line.""",
        'nas 1\nfrom "recipes/samplers.nas" import gdas\nspace s extends gdas {}\n',
        f"nas 1\n{_DARTS}\nspace s extends darts {{}}\n",
    ),
    Code(
        "E109",
        "there is no such file",
        """A name that begins with `./` is looked up beside the importing file; any other name in
        the folders of `--path`, then in the bundled library. Check the spelling, the folder, and
        the `./`.""",
        'nas 1\nfrom "dart.nas" import darts\n',
        'nas 1\nfrom "darts.nas" import darts\n',
    ),
    Code(
        "E110",
        "the file does not define this name",
        """The file was found and read, but it neither defines nor imports the name. The help line
        shows a near miss where there is one. A name that a file imports itself may be imported
        from it as well, but not through a chain of dots.""",
        'nas 1\nfrom "darts.nas" import dart\n',
        'nas 1\nfrom "darts.nas" import darts\n',
    ),
    Code(
        "E111",
        "a value is missing",
        """An operation, a parameter or a cell needs a value that neither the call nor a default
        gives. Give it at the call, or give the parameter a default in the header; a space needs
        defaults for all parameters if it is to be used by name.""",
        _network("stage block", before="op block(k) = relu >> conv(k) >> bn"),
        _network("stage block(3)", before="op block(k) = relu >> conv(k) >> bn"),
    ),
    Code(
        "E112",
        "the arguments do not fit",
        """A call gives an argument that the operation does not have, too many of them, or the same
        one twice. Arguments are given in order or by name. The language reference lists the built-in
        operations with their parameters.""",
        _network("stage conv(3, strid = 2)"),
        _network("stage conv(3, stride = 2)"),
    ),
    Code(
        "E113",
        "one candidate name, two bodies",
        """Every candidate of an op set is an operation of the same scope, so that genotypes can
        speak of it by name. Two sets may share a candidate, but not define it differently: a
        genotype would not say which one it means. Give one of them another name.""",
        "nas 1\nops a {\n  pool = max_pool(3)\n}\nops b {\n  pool = avg_pool(3)\n}\n",
        "nas 1\nops a {\n  pool = max_pool(3)\n}\nops b {\n  mean = avg_pool(3)\n}\n",
    ),
    Code(
        "E114",
        "a definition uses itself",
        """Operations, cells, op sets, values and phases may use each other, but not in a circle:
        there is no recursion in the language, so that every space is finite. To repeat something
        use `repeat`, to nest something write one cell per level.""",
        _network("stage block", before="op block = relu >> block"),
        _network("stage block", before="op block = relu >> conv(3)"),
    ),
    Code(
        "E115",
        "no such field",
        """A dotted name is a name of an imported file, a field of the data set (`data.shape`,
        `data.classes`, `data.augment`), a parameter of the space in a recipe (`network.C`), or a
        measure (`search.valid.loss`). There is no other member access.""",
        "nas 1\n"
        'from "data/images.nas" import cifar10\nspace s(data = cifar10) {\n  input data.size\n'
        "  head  global_avg_pool >> linear(10)\n}\n",
        "nas 1\n"
        'from "data/images.nas" import cifar10\nspace s(data = cifar10) {\n  input data.shape\n'
        "  head  global_avg_pool >> linear(10)\n}\n",
    ),
    Code(
        "E116",
        "too large to expand",
        """Everything in a `.nas` file is finite, but a few lines can describe something that no
        machine can build: repeats in repeats in repeats, or definitions each of which uses the one
        before it twice. Checking stops at a bound that is far beyond any network in use. Look for a
        count with too many digits, or a name used where another was meant.""",
        _network("repeat 1000 {\n  repeat 1000 {\n    repeat 1000 { stage relu }\n  }\n}"),
        _network("repeat 10 {\n  repeat 10 { stage relu }\n}"),
    ),
    # ---- 2xx: spaces, cells, networks
    Code(
        "E201",
        "an edge runs backwards",
        """The nodes of a cell are ordered as they are written, the nodes of an array by index, and
        an edge goes from an earlier to a later one: this is what makes every cell acyclic without
        a search for circles. Swap the ends, or the nodes.""",
        _cell(
            "in   a",
            "node x[2]",
            "edge a -> x : conv(3)",
            "edge x[2] -> x[1] : conv(3)",
            "out  x[2]",
        ),
        _cell(
            "in   a",
            "node x[2]",
            "edge a -> x : conv(3)",
            "edge x[1] -> x[2] : conv(3)",
            "out  x[2]",
        ),
    ),
    Code(
        "E202",
        "no node has this index",
        """Nodes of an array `x[4]` are `x[1]` to `x[4]`; negative indices count from the end, so
        `x[-1]` is the last and `x[-4..-1]` are the last four. There is no `x[0]`. Inputs and
        single nodes have no index.""",
        _cell("in   a", "node x[2]", "edge a -> x : conv(3)", "out  x[0]"),
        _cell("in   a", "node x[2]", "edge a -> x : conv(3)", "out  x[1] + x[2]"),
    ),
    Code(
        "E203",
        "a node is defined twice",
        """Inputs and nodes of a cell share one scope, and every name there is defined once in a
        cell. A cell that extends another may define a node again; then it replaces it.""",
        _cell("in   a", "node a", "edge a -> a : conv(3)", "out  a"),
        _cell("in   a", "node x", "edge a -> x : conv(3)", "out  x"),
    ),
    Code(
        "E204",
        "a cell without `in` or `out`",
        """A cell takes at least one input and says what it yields: `in a` and `out x`. A cell that
        extends another inherits both. Without them nothing could enter the cell or leave it,
        and no stage could be built from it.""",
        _cell("in   a", "node x", "edge a -> x : conv(3)"),
        _cell("in   a", "node x", "edge a -> x : conv(3)", "out  x"),
    ),
    Code(
        "E205",
        "both `keep` and `pick` at one node",
        """`keep` lets the recipe choose the strongest edges of a node after the search; `pick`
        makes the choice of edges a decision with weights of its own. One node can have only one
        of them.""",
        _cell(
            "in   a",
            "node x",
            "edge a -> x : one_of {conv(3), conv(5)}",
            "keep 1 per x",
            "pick 1 per x",
            "out  x",
        ),
        _cell(
            "in   a", "node x", "edge a -> x : one_of {conv(3), conv(5)}", "keep 1 per x", "out  x"
        ),
    ),
    Code(
        "E207",
        "shapes do not fit",
        """Everything that meets at a node, at the output, or among the alternatives of one choice
        must have one shape. The usual reason is an operation that ignores the stride of its
        place: an operation strides only if it says `stride = stride`. The other is a channel
        count: `out = width` gives the channels that the place wants. The label shows where the
        stride was written.""",
        _cell(
            "in   a", "node x", "edge a -> x : conv(3)", "out  x", stage="stage c { stride = 2 }"
        ),
        _cell(
            "in   a",
            "node x",
            "edge a -> x : conv(3, stride = stride)",
            "out  x",
            stage="stage c { stride = 2 }",
        ),
    ),
    Code(
        "E208",
        "a number is not whole, or not positive",
        """Widths, strides, counts and indices are whole numbers. Arithmetic is exact: `7 / 2` is
        seven halves, not three. `//` floors, and `round_to(w, 8)` gives the multiple of eight
        that is nearest.""",
        _network("stage conv(3, out = width / 3)"),
        _network("stage conv(3, out = width // 3)"),
    ),
    Code(
        "E209",
        "two stages at one round of a `repeat`",
        """`stage X at f` replaces the round floor(f n) of a `repeat n`. Two of them fall on the
        same round here, perhaps only because n is small. Change a fraction, or n.""",
        _network(
            "repeat 3 {\n  stage relu\n  stage conv(3) at 1/3\n  stage max_pool(3) at [0, 1/3]\n}"
        ),
        _network("repeat 3 {\n  stage relu\n  stage conv(3) at 1/3\n  stage max_pool(3) at 2/3\n}"),
    ),
    Code(
        "E210",
        "nothing reaches a node",
        """A node without an incoming edge has no value. Add an edge to it, or leave the node
        out; `edge {a, x[<]} -> x` gives every node an edge from all that come before it.""",
        _cell("in   a", "node x[2]", "edge a -> x[1] : conv(3)", "out  x[1]"),
        _cell("in   a", "node x[1]", "edge a -> x[1] : conv(3)", "out  x[1]"),
    ),
    Code(
        "E211",
        "only `none` is left to choose from",
        """Every option of this choice yields zeros, so nothing would ever come out of it. A set was
        probably made too small by a `-`. Leave the edge out if that is what is meant.""",
        _network("stage one_of {none, zero}", before="op zero = none"),
        _network("stage one_of {none, conv(3)}", before="op zero = none"),
    ),
    Code(
        "E212",
        "an operation cannot take what arrives",
        """Every operation has a shape rule: convolutions want an image, a series or a volume,
        `linear` wants features or a sequence, a window must fit, groups must divide the channels.
        The message says what arrived. Between images and features stands `global_avg_pool` or
        `flatten`.""",
        _network("stage linear(16)"),
        _network("stage conv(1, out = 16)"),
    ),
    Code(
        "E213",
        "a value of another kind is wanted",
        """Values have types: numbers, booleans, operations, sets, lists, shapes, data. Here stands
        one where the language needs another: an operation where a number is wanted, a set without
        `one_of`, a number as a stage.""",
        _network("stage 3"),
        _network("stage conv(3)"),
    ),
    Code(
        "E214",
        "a space without `input`",
        """The input gives the shape of what enters the network; all shapes and costs follow from
        it. Usually it comes from the data set: `input data.shape`. For a space that is tied to
        no data set write the shape itself: `image(3, 32, 32)`, `series(9, 128)`,
        `features(54)`, `tokens(256)`.""",
        "nas 1\nspace s {\n  width = 8\n  head  global_avg_pool >> linear(10)\n}\n",
        "nas 1\nspace s {\n  width = 8\n  input image(3, 32, 32)\n"
        "  head  global_avg_pool >> linear(10)\n}\n",
    ),
    Code(
        "E215",
        "a space without `head`",
        """The head yields what the loss is computed from. For classification it is `head
        global_avg_pool >> linear(data.classes)`. It stands at the top of the space, not inside
        a `repeat`, where a head is auxiliary.""",
        "nas 1\nspace s {\n  width = 8\n  input image(3, 32, 32)\n  stage conv(3)\n}\n",
        "nas 1\nspace s {\n  width = 8\n  input image(3, 32, 32)\n  stage conv(3)\n"
        "  head  global_avg_pool >> linear(10)\n}\n",
    ),
    Code(
        "E217",
        "division by zero",
        """The divisor is zero, here or for the values that the parameters have. Arithmetic is
        exact and there is no infinity to go on with. Look at the parameters that the divisor is
        made of; a child may have set one of them to zero.""",
        _network("stage conv(3, out = width // 0)"),
        _network("stage conv(3, out = width // 2)"),
    ),
    Code(
        "E218",
        "a condition is wanted",
        """`a if c else b`, `and`, `or` and `not` take conditions: comparisons, `true`, `false`,
        `supernet`. A number is not a condition; write `n > 0`. Conditions are decided while the
        space is built, so they may speak of stride, width, c_in, supernet and parameters, not
        of decisions.""",
        _network("stage relu if width else gelu"),
        _network("stage relu if width > 4 else gelu"),
    ),
    Code(
        "E219",
        "nothing is left to choose from",
        """`one_of` chooses from a set, and this set is empty: everything was subtracted from it.
        Look at the sets it was made of: labels are compared by name, so an operation under
        another name is another member.""",
        _network("stage one_of (ours - {a})", before="ops ours {\n  a = conv(3)\n}"),
        _network("stage one_of ours", before="ops ours {\n  a = conv(3)\n}"),
    ),
    Code(
        "E220",
        "`fresh` of something that decides nothing",
        """`fresh c` gives one use of a cell its own decisions, `fresh w` a new decision of a `let`.
        So a name must follow that owns decisions: a cell, a `let`, or an `op`. Choices in place
        are new at every use anyway.""",
        _network("stage fresh relu"),
        _network("stage fresh act", before="let act = one_of {relu, gelu}"),
    ),
    Code(
        "E221",
        "an empty range",
        """`int a..b by s` is a decision among the whole numbers from a to b in steps of s, and
        `float a..b` one among all numbers between; with `log` both bounds must be positive. The range
        here holds none: the bounds run downwards or the step is not positive; or a genotype names a
        number outside of it.""",
        _network("stage conv(3, out = int 16..8)"),
        _network("stage conv(3, out = int 8..16)"),
    ),
    Code(
        "E222",
        "`[<]` without a target of its array",
        """`x[<]` means all nodes of `x` before the target, so it stands only in the source of an
        edge whose target is a node of the same array: `edge {a, x[<]} -> x`.""",
        _cell("in   a", "node x[2]", "edge a -> x[<] : conv(3)", "out  x[2]"),
        _cell("in   a", "node x[2]", "edge {a, x[<]} -> x : conv(3)", "out  x[2]"),
    ),
    Code(
        "E223",
        "a number of edges that no node can have",
        """`keep N` and `pick N` say how many incoming edges of a node are used: at least one, and
        for `pick` no more than there are. `all` and `any` are the other two ways to say it.""",
        _cell(
            "in   a",
            "node x",
            "edge a -> x : one_of {conv(3), conv(5)}",
            "keep 0 per node",
            "out  x",
        ),
        _cell(
            "in   a",
            "node x",
            "edge a -> x : one_of {conv(3), conv(5)}",
            "keep 1 per node",
            "out  x",
        ),
    ),
    Code(
        "E224",
        "nothing reaches the output",
        """As the fixed operation of an edge `none` removes the edge, and a node without edges falls
        away with it. An architecture of a cell with `pick` may leave out every edge on the way to
        the output. Either way nothing is left that the cell could yield.""",
        _cell("in   a", "node x", "edge a -> x : none", "out  x"),
        _cell("in   a", "node x", "edge a -> x : relu", "out  x"),
    ),
    Code(
        "E225",
        "`at` outside `repeat`",
        """`at f` says which round of a `repeat` a stage replaces; without a `repeat` around it there
        are no rounds. Put the stage where it belongs in the order instead.""",
        _network("stage conv(3) at 1/3"),
        _network("stage conv(3)"),
    ),
    Code(
        "E226",
        "a cell with several inputs as an operation",
        """A cell with one input is an operation and may stand where one is wanted. A cell with two
        looks back at two stages, which only a `stage` of its own can give it.""",
        _network(
            "cell c {\n  in   a, b\n  node x\n  edge {a, b} -> x : conv(3)\n  out  x\n}",
            "stage relu >> c",
        ),
        _network(
            "cell c {\n  in   a\n  node x\n  edge a -> x : conv(3)\n  out  x\n}", "stage relu >> c"
        ),
    ),
    Code(
        "E227",
        "so many rounds cannot be unrolled",
        """`repeat n` writes its body n times into the network: from none up to ten thousand
        times. A negative or larger number is most likely a slip in a formula.""",
        _network("repeat 20k { stage relu }"),
        _network("repeat 20 { stage relu }"),
    ),
    Code(
        "E228",
        "`at` takes fractions in [0, 1)",
        """A place in a `repeat` is written as a fraction of its rounds, so that it moves along when
        their number changes: `at 1/3`, or `at [1/3, 2/3]`. 0 is the first round; 1 would be
        behind the last.""",
        _network("repeat 3 {\n  stage relu\n  stage conv(3) at 2\n}"),
        _network("repeat 3 {\n  stage relu\n  stage conv(3) at 2/3\n}"),
    ),
    Code(
        "E229",
        "a head in `repeat` needs `at`",
        """A head inside a `repeat` is auxiliary: it branches off behind one round, for an additional
        loss while the final network is trained. Say behind which: `head aux at 2/3`. The head of
        the network stands outside.""",
        _network(
            "repeat 3 {\n  stage relu\n  head aux\n}", before="op aux = flatten >> linear(10)"
        ),
        _network(
            "repeat 3 {\n  stage relu\n  head aux at 2/3\n}",
            before="op aux = flatten >> linear(10)",
        ),
    ),
    Code(
        "E230",
        "unknown genotype format",
        """`genotype = …` names the text form in which found architectures are written and read:
        `darts`, `nasbench201`, `nasbench101`, `transnasbench101`, `nats_size`, `digits`, or `nas`,
        which fits every space and needs not be written.""",
        _network("genotype = nasbench", "stage one_of {relu, gelu}"),
        _network("genotype = digits", "stage one_of {relu, gelu}"),
    ),
    Code(
        "E231",
        "a condition depends on a decision",
        """`a if condition else b` is decided when the space is compiled; a supernet holds every
        option of a decision, so no single value of it could decide the condition. Say the
        alternatives as a decision of their own: `one_of {a, b}`.""",
        _network("let k = one_of {3, 5}", "stage conv(3) if k == 3 else conv(1)"),
        _network("stage one_of {conv(3), conv(1)}"),
    ),
    Code(
        "E232",
        "no running width",
        """An operation whose channels are not given yields as many as the running width says, and
        nothing has set it: neither the space (`width = 16`) nor a cell or stage before this place.
        Set it, or give the channels with `out`.""",
        "nas 1\nspace s {\n  input image(3, 32, 32)\n  stem conv(3)\n"
        "  head global_avg_pool >> linear(10)\n}\n",
        "nas 1\nspace s {\n  width = 8\n  input image(3, 32, 32)\n  stem conv(3)\n"
        "  head global_avg_pool >> linear(10)\n}\n",
    ),
    Code(
        "E233",
        "a decision among values changes the stages",
        """A decision among values sets sizes of operations: their channels, kernels, heads, also
        which operation stands where a condition compares sizes. It cannot change how many stages
        there are or what a cell is made of, as a `repeat` does that counts by a formula of a
        decision. A depth is decided by `repeat int a..b`, or by a `let` of such a range that
        `repeat` names.""",
        _network("let n = int 1..2", "repeat 2 * n { stage conv(3) }"),
        _network("let n = int 1..2", "repeat n { stage conv(3) >> conv(3) }"),
    ),
    Code(
        "E234",
        "too many settings of one operation",
        """An operation whose sizes depend on several decisions has a setting for every combination
        of their options, and all are laid out when the space is compiled. Here they are too many.
        Take fewer options, or decide once and use the decision in several places: a `let` is one
        decision wherever it is used.""",
        _network(
            "let a = int 1..20",
            "let b = int 1..20",
            "let c = int 1..20",
            "stage conv(3, out = a + b + c)",
        ),
        _network(
            "let a = int 1..20",
            "let b = int 1..20",
            "stage conv(3, out = a + b)",
        ),
    ),
    Code(
        "E235",
        "more than the number of rounds depends on the depth",
        """After `repeat int a..b` the network goes on from whichever round is the last, so every
        allowed round must end with the shape the first begins with; and a round must be the same
        however many follow. Change width and stride before or behind the rounds, and place no
        stages by `at` among them.""",
        _network("repeat int 1..3 { stage conv(3) { width = 2 * width } }"),
        _network("stage conv(3) { width = 2 * width }", "repeat int 1..3 { stage conv(3) }"),
    ),
    # ---- 3xx: recipes and training
    Code(
        "E301",
        "unknown component",
        """A slot of a recipe takes one of a fixed list of components, and this name is not among
        them; the help line lists them. Components of plug-ins carry the plug-in's name in front:
        `acme.gumbel3`.""",
        _recipe("sampler = gumble(tau = 1)"),
        _recipe("sampler = gumbel(tau = 1)"),
    ),
    Code(
        "E302",
        "no such slot",
        """Each kind of block has a fixed set of slots. A name that is none would have no effect, so
        it is refused. Own values that only serve the block itself are written with `let`.""",
        _recipe("epoch = 50"),
        _recipe("epochs = 50"),
    ),
    Code(
        "E303",
        "a component has no such argument",
        """The component exists, but not with this argument. Arguments of components are given by
        name, except the first of those that have one obvious one: `normal(1e-3)`, `beta(0.5)`.""",
        _recipe("sampler = gumbel(ta = 1)"),
        _recipe("sampler = gumbel(tau = 1)"),
    ),
    Code(
        "E304",
        "a value of the wrong type",
        """Every slot and every argument has a type: a whole number, a number, a schedule, a time, a
        word from a list. The message says which one is wanted here.""",
        _recipe('epochs = "fifty"'),
        _recipe("epochs = 50"),
    ),
    Code(
        "E305",
        "something required is missing",
        """A component, a schedule, a phase or a data set lacks a part without which it means
        nothing: the learning rate of an optimizer, the ends of a schedule, the `epochs` of a phase,
        the `source` and `shape` of a data set.""",
        _recipe("weights = sgd(momentum = 0.9)"),
        _recipe("weights = sgd(lr = 0.025, momentum = 0.9)"),
    ),
    Code(
        "E306",
        "a component of another slot",
        """The component exists, but for another slot: an optimizer is no sampler. The message
        names the slot it belongs to. Every slot has components of its own, and a name means
        something in its slot only: `channels` is one thing for `partial` and another for
        `normalize`.""",
        _recipe("sampler = sgd(lr = 0.1)"),
        _recipe("weights = sgd(lr = 0.1)"),
    ),
    Code(
        "E307",
        "an argument of a slot that is not set",
        """`slot.argument = v` changes one argument of a component that is inherited or written
        above. Here the slot is empty or `none`, so there is nothing to change. Write the slot
        first.""",
        _recipe("arch.lr = 3e-4"),
        _recipe("arch = adam(lr = 3e-4)"),
    ),
    Code(
        "E308",
        "`a -> b` outside a schedule",
        """An arrow between two numbers says how a value changes over the run, and the form of the
        change must be named: `linear(a -> b)`, `cosine(a -> b)`, `exponential(a -> b)`.""",
        _recipe("sampler = gumbel(10 -> 0.1)"),
        _recipe("sampler = gumbel(tau = linear(10 -> 0.1))"),
    ),
    Code(
        "E322",
        "a value that must stay positive does not",
        """A temperature divides, so it may never be zero: a schedule that ends at 0 reaches it in
        the last step of the run (the first step has a, the last has b). Let it end a little
        above: `linear(10 -> 0.1)`. Held per epoch (`per = epoch`) a schedule does not reach its
        end.""",
        _recipe("sampler = gumbel(tau = linear(10 -> 0))"),
        _recipe("sampler = gumbel(tau = linear(10 -> 0.1))"),
    ),
    Code(
        "E331",
        "a recipe needs a parameter the space does not have",
        """Recipes may set and read parameters of the space (`network.layers = 5`), because some
        methods make the network grow. Such a recipe fits only spaces with a parameter of that
        name. Use another space, or derive a recipe that sets it to nothing else.""",
        _PAIR % ("layers = 11", "one_edge", "deeper"),
        _PAIR % ("C = 11", "one_edge", "deeper"),
    ),
    Code(
        "E332",
        "a schedule key lies beyond the run",
        """The keys of `steps({0: a, 60: b})` are epochs (or percents) of the block in which it
        stands, so they lie inside its `epochs`; one that never comes is a slip, usually after
        `epochs` was changed. Percents move along: `50%`.""",
        _recipe("epochs = 50", "weights = sgd(lr = steps({0: 0.1, 60: 0.01}))"),
        _recipe("epochs = 50", "weights = sgd(lr = steps({0: 0.1, 40: 0.01}))"),
    ),
    Code(
        "E333",
        "`epochs` in the recipe and in its phases",
        """A recipe with phases is as long as they are together, and each phase has its own
        `epochs`. An `epochs` beside them would have no meaning; an inherited one does not count.
        """,
        _recipe("epochs = 50", "phase a { epochs = 20 }"),
        _recipe("phase a { epochs = 20 }", "phase b { epochs = 30 }"),
    ),
    Code(
        "E334",
        "pruning keeps nothing, or more than there is",
        """`prune = top(n)` keeps the n best options of every decision: at least one, and fewer than
        there are, else nothing is pruned and the phase does not do what it says.""",
        _recipe("phase a {", "  epochs = 20", "  prune = top(0)", "}"),
        _recipe("phase a {", "  epochs = 20", "  prune = top(4)", "}"),
    ),
    Code(
        "E335",
        "the keys of a schedule rise from 0",
        """`steps({0: a, 10: b})` holds a until 10, then b. So the first key of a value is 0 and each
        key is larger than the one before; otherwise the value is not defined at some time.""",
        _recipe("weights = sgd(lr = steps({0: 0.1, 30: 0.01, 20: 0.001}))"),
        _recipe("weights = sgd(lr = steps({0: 0.1, 20: 0.01, 30: 0.001}))"),
    ),
    Code(
        "E336",
        "two components of a recipe do not go together",
        """The components of a recipe compose: their order in the file never matters, and most pairs
        have a meaning. Some have none: a perturbed mix off the corner where a one-hot sampler
        computes one path, a step that moves an architecture that `arch = none` does not have, a
        penalty on concentrations without a Dirichlet sampler. The message says why; change one of
        the two. With phases every phase is looked at with the recipe's slots behind its own.""",
        _recipe(
            "epochs = 50", "sampler = gumbel(tau = 1, hard = true)", "perturb = random(eps = 0.1)"
        ),
        _recipe("epochs = 50", "sampler = gumbel(tau = 1)", "perturb = random(eps = 0.1)"),
    ),
    # ---- 4xx: data and suites
    Code(
        "E401",
        "architectures may not be chosen on test data",
        """If the test data help to choose, they no longer measure how well the choice generalises.
        So `test` stands only in the `report` of a suite; choices, scores and stops use
        `search.valid` or `retrain.valid`. To have data for it, cut a part of the training data off
        in the `split`.""",
        "nas 1\nsuite q {\n  choose = min(test.loss)\n}\n",
        "nas 1\nsuite q {\n  choose = min(search.valid.loss)\n  report = [mean(test.loss)]\n}\n",
    ),
    Code(
        "E402",
        "the parts of a split overlap",
        """`search.train` and `search.valid` must have no image in common: the architecture would be
        judged on what its weights were trained on. Ranges of fractions are half open, `data[0%
        ..50%]` and `data[50%..100%]` share nothing; ranges of indices include both ends.""",
        _split("data[0..25000]", "data[25000..49999]"),
        _split("data[0..24999]", "data[25000..49999]"),
    ),
    Code(
        "E404",
        "a range that is none",
        """Ranges of data are written `data[0%..50%]` in fractions (half open) or
        `data[0..24999]` in whole indices (inclusive). They run upwards and hold at least
        one image; fractions lie between 0 and 100 %. The folds of `kfold` count from 0. A range is
        taken of a whole order, never of another range.""",
        _split("data[50%..0%]", "data[50%..100%]"),
        _split("data[0%..50%]", "data[50%..100%]"),
    ),
    Code(
        "E406",
        "a list holds something else",
        """The lists of a suite hold blocks of one kind: spaces, recipes, data sets, splits or train
        blocks. Here stands a block of another kind, or a name that is no block.""",
        'nas 1\nfrom "recipes/darts.nas" import darts\nsuite q {\n  spaces = [darts]\n}\n',
        'nas 1\nfrom "recipes/darts.nas" import darts\nsuite q {\n  recipes = [darts]\n}\n',
    ),
    Code(
        "E407",
        "a list of indices that cannot be used",
        """`files("train.txt")` is the images whose indices a file lists, in its order: a text of
        whole numbers from 0 (`#` begins a comment), a JSON list, or a flat `.npy` array of
        integers. The file lies beside the `.nas` file or below; a path never leaves that folder.
        An index stands in a list once, and at least one does.""",
        _split('files("../train.txt")', "data[50%..100%]"),
        _split("data[0%..50%]", "data[50%..100%]"),
    ),
    # ---- 5xx: limits, and what does not go together
    Code(
        "E501",
        "a decision that this recipe cannot make, or that stands in the wrong place",
        """Decisions (`one_of`, `int a..b`, `float a..b`) belong into spaces; recipes and data sets
        have values. And a recipe that trains one supernet mixes operations: it cannot mix a number
        such as a dropout rate or a width, which has no weights of its own. For such spaces take a
        recipe that draws whole architectures (`random_search`), or replace the number by `one_of`
        a few operations.""",
        _PAIR % ("C = 8", "tabular", "darts"),
        _PAIR % ("C = 8", "one_edge", "darts"),
    ),
    Code(
        "E505",
        "a limit leaves no architecture",
        """`require` speaks of the discrete networks of the target. No architecture of the space
        meets this limit; the message gives the nearest one there is. Change the limit, or the
        widths and depths of the target.""",
        'nas 1\nfrom "nasbench201.nas" import nasbench201\n'
        "space s extends nasbench201 {\n  require params <= 10k\n}\n",
        'nas 1\nfrom "nasbench201.nas" import nasbench201\n'
        "space s extends nasbench201 {\n  require params <= 1M\n}\n",
    ),
    Code(
        "E506",
        "unknown measure",
        """`require` knows `params`, `flops` (multiply-adds), `depth`, `memory` and `count(op)`; in
        a cell `edges`, `depth`, `count(op)` and `connected`, but no costs. Other names have no meaning here,
        parameters of the space included: a limit that speaks of them could be written as a
        value of the parameter.""",
        'nas 1\nfrom "nasbench201.nas" import nasbench201\n'
        "space s extends nasbench201 {\n  require parms <= 1M\n}\n",
        'nas 1\nfrom "nasbench201.nas" import nasbench201\n'
        "space s extends nasbench201 {\n  require params <= 1M\n}\n",
    ),
    # ---- warnings
    Code(
        "W101",
        "a built-in operation is hidden",
        """A definition has the name of a built-in operation; from here on the name means the
        definition. That is allowed, but a reader who knows the built-in will be misled. Take
        another name unless it is what you want.""",
        "nas 1\nop relu = leaky_relu(0.1)\n",
        "nas 1\nop leaky = leaky_relu(0.1)\n",
    ),
    Code(
        "W210",
        "a node does not reach the output",
        """The node has incoming edges, but nothing leads from it to `out`: it costs time in the
        supernet and never matters, so it is trimmed. Usually the `out` names too few nodes:
        `out concat(x)` takes all.""",
        _cell("in   a", "node x[2]", "edge a -> x : conv(3)", "out  x[1]"),
        _cell("in   a", "node x[2]", "edge a -> x : conv(3)", "out  concat(x)"),
    ),
    Code(
        "W211",
        "a general edge replaces a specific one",
        """Later statements replace earlier ones. Here a statement for many edges comes after one for
        a single edge and covers it, so the specific one has no effect. Put the general statement
        first.""",
        _cell(
            "in   a",
            "node x[2]",
            "edge a -> x[1] : conv(5)",
            "edge a -> x : conv(3)",
            "out  concat(x)",
        ),
        _cell(
            "in   a",
            "node x[2]",
            "edge a -> x : conv(3)",
            "edge a -> x[1] : conv(5)",
            "out  concat(x)",
        ),
    ),
    Code(
        "W212",
        "`none` may win, and nothing says so",
        """`none` is among the candidates of an edge and the cell has no `keep` for its node, so every
        edge stays and an edge may end as `none`. Some methods mean that, others never let `none`
        be chosen; silence about it is the most common misunderstanding of a space. Say which.""",
        _cell("in   a", "node x", "edge a -> x : one_of {none, conv(3)}", "out  x"),
        _cell(
            "in   a",
            "node x",
            "edge a -> x : one_of {none, conv(3)}",
            "keep all per node",
            "out  x",
        ),
    ),
    Code(
        "W501",
        "a warm-up as long as the run",
        """`start` says when the first update happens. It lies at or behind the end of the run, so
        what it delays never happens: an architecture that is never updated stays random. Usually
        `epochs` was reduced for a trial; write the start as a percentage then.""",
        _recipe("epochs = 10", "arch = adam(lr = 3e-4, start = 15)"),
        _recipe("epochs = 10", "arch = adam(lr = 3e-4, start = 30%)"),
    ),
)

#: Every code by its number, in order.
CODES: Mapping[str, Code] = MappingProxyType({code.number: code for code in _ALL})
