"""Counting the instruction bundles of a TPU program's final schedule.

libtpu writes the schedule of every operation where `LIBTPU_INIT_ARGS` tells it to. A line
is a bundle, a cycle if nothing stalls: a lower bound of the time. The first bundle of a
loop that was not unrolled is marked and names the regions that begin there; a branch back
to one of them hangs on a test, which compares a counter with where it stops.
"""

from __future__ import annotations

import re

_BUNDLE = re.compile(r'^\s*(?:0x)?[0-9a-f]+\s+([A-Z]{2})?\s*:\s*(>*)\s*\{')
_TEST = re.compile(
    r'%(\w+) = scmp\.ge\.s32\.totalorder (?:\(\S+\), )?%(\w+), (\d+) /\* loop'
)
_ADDED = re.compile(r'%(\w+) = sadd\.s32 (?:\(\S+\), )?(\d+), %')
_BRANCH = re.compile(r'sbr\.rel \(!%(\w+)\) target = \$region(\d+)')


class _Loop:
    """A loop: bundles of one round outside of loops inside it, and those loops."""

    def __init__(self, depth):
        self.depth, self.bundles, self.trips = depth, 0, 1
        self.inner: list[_Loop] = []

    def total(self) -> float:
        return self.trips * (self.bundles + sum(loop.total() for loop in self.inner))


def count(text: str) -> float:
    """Bundles that a run of `*-final_bundles.txt` goes through.

    Loops without a constant bound count as one round, regions under a condition as taken.
    """
    added = {name: int(number) for name, number in _ADDED.findall(text)}
    rounds = {
        test: -(-int(stop) // added.get(counter, 1))
        for test, counter, stop in _TEST.findall(text)
    }
    root, begins = _Loop(0), dict[str, _Loop]()
    around = [root]
    for line in text.splitlines():
        if not (found := _BUNDLE.match(line)):
            continue
        # Nothing marks the loops around an empty bundle.
        depth = len(found[2]) if '{}' not in line else around[-1].depth
        first = found[1] == 'LB'
        while around[-1].depth > depth - first:
            around.pop()
        if first:
            around[-1].inner.append(_Loop(depth))
            around.append(around[-1].inner[-1])
            regions = re.findall(r'Start region (\d+)', line)
            begins |= dict.fromkeys(regions, around[-1])
        around[-1].bundles += 1
        for test, region in _BRANCH.findall(line):
            if region in begins:
                begins[region].trips = rounds.get(test, 1)
    return root.total()
