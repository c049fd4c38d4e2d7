"""The table of faults is up to date, and trying one works. `make mutants` tries them all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mutants import ROOT, Copy, Unusable, read_faults

FAULTS = {fault.breaks: fault for fault in read_faults()}
TRIED = (
    "a posting does not seal the one before it",
    "a cap over times lets it happen once more",
    "two platforms that report one refund take its points twice",
)
"""Of those whose tests need no database."""


def test_every_fault_has_its_place_and_its_tests():
    assert len(FAULTS) == len(read_faults()) >= 40
    for fault in FAULTS.values():
        fault.place(ROOT)
        assert fault.old != fault.new
        for test in fault.tests:
            file, _, name = test.partition("::")
            assert f"def {name}" in (ROOT / "tests" / file).read_text(), (
                f"{fault.breaks!r} names no test: {test}"
            )


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return Copy(tmp_path_factory.mktemp("copy"))


@pytest.mark.parametrize("breaks", TRIED)
def test_tests_notice_a_fault(copy, breaks):
    assert copy.notices(FAULTS[breaks])


def test_a_change_that_breaks_nothing_goes_unnoticed(copy):
    fault = FAULTS[TRIED[0]]
    assert not copy.notices(replace(fault, new=fault.old + "  # as before"))
    assert fault.old in fault.place(copy.root).read_text()
    assert "# as before" not in fault.place(copy.root).read_text()


def test_an_old_text_that_is_gone_and_tests_that_are_gone_are_told(copy):
    with pytest.raises(Unusable, match="its old text is 0 times below hub/ledger"):
        replace(FAULTS[TRIED[0]], old="return a text that nobody wrote").place(ROOT)
    with pytest.raises(Unusable, match="ended with 4"):
        copy.notices(replace(FAULTS[TRIED[0]], tests=("ledger/test_that_is_gone.py",)))
