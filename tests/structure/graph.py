"""Circles in a directed graph."""

from collections import deque
from collections.abc import Iterable, Mapping


def circles(edges: Mapping[str, Iterable[str]]) -> list[tuple[list[str], list[str]]]:
    """Each set of nodes that reach each other, and a shortest circle through its first node."""
    reached = {node: _reached(edges, node) for node in edges}
    found, done = [], set()
    for node in sorted(edges):
        together = {other for other in reached[node] if node in reached.get(other, ())}
        if len(together) > 1 and not together & done:
            done |= together
            found.append((sorted(together), _shortest(edges, node)))
    return found


def _reached(edges: Mapping[str, Iterable[str]], start: str) -> set[str]:
    found, waiting = set(), [start]
    while waiting:
        for target in edges.get(waiting.pop(), ()):
            if target not in found:
                found.add(target)
                waiting.append(target)
    return found


def _shortest(edges: Mapping[str, Iterable[str]], start: str) -> list[str]:
    """The nodes of the shortest way from `start` back to it; `start` stands at both ends."""
    came_from, waiting = {}, deque([start])
    while waiting:
        node = waiting.popleft()
        for target in sorted(edges.get(node, ())):
            if target == start and node != start:
                way = [start]
                while node != start:
                    way.append(node)
                    node = came_from[node]
                return [start, *reversed(way)]
            if target not in came_from and target != start:
                came_from[target] = node
                waiting.append(target)
    raise ValueError(f"{start} is in no circle")
