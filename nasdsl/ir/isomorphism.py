"""Canonical texts of small labelled graphs: equal if and only if the graphs are isomorphic.

Colours are refined by what a node reads and by what reads it until nothing changes; where nodes
are left that look alike, each is singled out in turn and the smallest text wins. Nodes that may be
exchanged without a difference (they read the same, and the same reads them) need one turn only.
"""

from __future__ import annotations

#: Per node: colour, what it reads, what reads it, as colours.
_Look = tuple[int, tuple[int, ...], tuple[int, ...]]


def certificate(labels: list[str], sources: list[tuple[int, ...]], output: int | None) -> str:
    """The text of the part of an acyclic graph from which `output` can be reached.

    `sources[i]` are earlier nodes, repeated where they are read twice.
    """
    if output is None:
        return "0"
    alive = sorted(_reachable(sources, output))
    number = {node: i for i, node in enumerate(alive)}
    names = [labels[node] for node in alive]
    reads = [tuple(number[s] for s in sources[node]) for node in alive]
    readers: list[list[int]] = [[] for _ in alive]
    for i, found in enumerate(reads):
        for s in found:
            readers[s].append(i)
    # The output is a node like others that something else may read, so it is marked.
    names[number[output]] += "!"
    rank = {name: i for i, name in enumerate(sorted(set(names)))}
    graph = _Graph(reads, [tuple(r) for r in readers])
    order = graph.best([rank[name] for name in names])
    place = {node: i for i, node in enumerate(order)}
    return ";".join(
        names[node] + "(" + ",".join(map(str, sorted(place[s] for s in reads[node]))) + ")"
        for node in order
    )


def _reachable(sources: list[tuple[int, ...]], output: int) -> set[int]:
    found = {output}
    todo = [output]
    while todo:
        for s in sources[todo.pop()]:
            if s not in found:
                found.add(s)
                todo.append(s)
    return found


class _Graph:
    """Nodes with what they read and what reads them."""

    def __init__(self, reads: list[tuple[int, ...]], readers: list[tuple[int, ...]]) -> None:
        self.reads = reads
        self.readers = readers

    def refined(self, colours: list[int]) -> list[int]:
        """Colours split by the colours around them until that splits nothing."""
        count = len(set(colours))
        while count < len(colours):
            looks: list[_Look] = [
                (
                    colours[i],
                    tuple(sorted([colours[s] for s in reads])),
                    tuple(sorted([colours[r] for r in readers])),
                )
                for i, (reads, readers) in enumerate(zip(self.reads, self.readers, strict=True))
            ]
            ranked = {look: i for i, look in enumerate(sorted(set(looks)))}
            if len(ranked) == count:
                break
            colours = [ranked[look] for look in looks]
            count = len(ranked)
        return colours

    def best(self, colours: list[int]) -> list[int]:
        """Nodes in the order whose text is smallest."""
        colours = self.refined(colours)
        alike: dict[int, list[int]] = {}
        for node, colour in enumerate(colours):
            alike.setdefault(colour, []).append(node)
        groups = [alike[c] for c in sorted(alike)]
        open_ = next((g for g in groups if len(g) > 1), None)
        if open_ is None:
            return [g[0] for g in groups]
        found: list[tuple[list[tuple[int, ...]], list[int]]] = []
        turns: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
        for node in open_:
            twin = (self.reads[node], self.readers[node])
            if twin in turns:
                continue
            turns.add(twin)
            # The one that is singled out comes first among those of its colour.
            split = [2 * c + 1 for c in colours]
            split[node] -= 1
            order = self.best(split)
            place = {n: i for i, n in enumerate(order)}
            edges = [tuple(sorted(place[s] for s in self.reads[n])) for n in order]
            found.append((edges, order))
        return min(found)[1]
