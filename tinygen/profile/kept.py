"""The memory that recorded operations keep for backward, by the row of the profile that recorded them."""

from __future__ import annotations

import weakref
from collections import deque

from tinygen.engine.memory import owner
from tinygen.engine.node import Node


class Kept(dict):
    """What a node has saved; tells the profile when the node releases it."""

    __slots__ = ("memories", "released")

    def __del__(self) -> None:
        self.released.append(self.memories)


class Memory:
    """Which memory the tape holds, and because of which row.

    A piece of memory is identified by the id of the array that owns it; the array is alive while its id is used here.

    holders   id -> [how many nodes hold it, bytes, the row of the first]
    released  what nodes have released since; `Kept.__del__` appends to it, at any time and in any thread
    """

    def __init__(self, rows: dict) -> None:
        self.rows, self.holders, self.released = rows, {}, deque()
        self.now = self.peak = 0
        self.leaves: dict[int, weakref.ref] = {}

    def exclude(self, array) -> None:
        """Do not count this array's memory: it belongs to a leaf, which lives whether the tape holds it or not."""
        array = owner(array)
        key = id(array)
        if key not in self.leaves:
            self.leaves[key] = weakref.ref(array, lambda _: self.leaves.pop(key, None))

    def hold(self, row, node: Node) -> None:
        """Count what a new node has saved for `row`."""
        self.settle()
        memories = set()
        for saved in node.saved.values():
            array = owner(getattr(saved, "array", saved))  # what `keeps` names is a bare array
            key = id(array)
            if key in self.leaves or key in memories:
                continue
            memories.add(key)
            if key not in self.holders:
                self.holders[key] = [0, array.nbytes, row]
                row.kept += array.nbytes
                row.held += array.nbytes
                self.now += array.nbytes
            self.holders[key][0] += 1
        node.saved = Kept(node.saved)
        node.saved.memories, node.saved.released = memories, self.released

    def settle(self) -> None:
        """Record the peak, then subtract what has been released."""
        if self.now > self.peak:
            self.peak = self.now
            for row in self.rows.values():
                row.at_peak = row.held
        while self.released:
            for key in self.released.popleft():
                holder = self.holders[key]
                holder[0] -= 1
                if not holder[0]:
                    _, nbytes, row = self.holders.pop(key)
                    row.held -= nbytes
                    self.now -= nbytes
