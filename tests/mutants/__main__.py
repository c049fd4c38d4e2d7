"""Tries every fault, or those whose sentence has one of the words given; exits 1 where one goes unnoticed."""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from mutants import Copy, Fault, Unusable, read_faults

AT_ONCE = 2
ALL_S = 1800
"""The longest that half of the tests may take where there is no fault."""


def main(words: list[str]) -> int:
    faults = [each for each in read_faults() if not words or any(word in each.breaks for word in words)]
    with tempfile.TemporaryDirectory(prefix="hub-mutants-") as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        free: SimpleQueue[Copy] = SimpleQueue()
        for copy in pool.map(Copy, (Path(folder) / str(n) for n in range(AT_ONCE))):
            free.put(copy)

        def with_copy(work):
            copy = free.get()
            try:
                return work(copy)
            finally:
                free.put(copy)

        def sound(suite: tuple[tuple[str, ...], bool]) -> bool:
            return with_copy(lambda copy: copy.passes(suite[0], servers=suite[1], longest_s=ALL_S))

        def noticed(fault: Fault) -> bool:
            return with_copy(lambda copy: copy.notices(fault))

        try:
            suites = named(faults)
            for suite, passes in zip(suites, pool.map(sound, suites), strict=True):
                if not passes:
                    print(f"fails without any fault: {' '.join(suite[0])}")
                    return 1
            killed = 0
            for fault, was in zip(faults, pool.map(noticed, faults), strict=True):
                killed += was
                print(f"{'killed  ' if was else 'SURVIVED'} {fault.breaks}", flush=True)
        except Unusable as error:
            print(error)
            return 1
    print(f"killed {killed} of {len(faults)}")
    return 0 if killed == len(faults) else 1


def named(faults: list[Fault]) -> list[tuple[tuple[str, ...], bool]]:
    """Return the tests that have to pass where there is no fault, in two halves, and those on servers."""
    here = sorted({test for fault in faults if not fault.servers for test in fault.tests})
    there = sorted({test for fault in faults if fault.servers for test in fault.tests})
    suites = [(tuple(here[0::2]), False), (tuple(here[1::2]), False), (tuple(there), True)]
    return [suite for suite in suites if suite[0]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
