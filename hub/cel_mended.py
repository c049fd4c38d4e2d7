"""What cel-expr-python 0.1.3 does wrong with references, mended from outside (docs/decisions/0004-expressions.md).

None        it gives back one reference too many for each null it converts, and after some ten thousand nulls CPython 3.11
            aborts ("deallocating None"). So None is made immortal, as PEP 683 does from 3.12 on.
Functions   it never gives back the tuple in which it hands arguments to a function, nor what the function returned: 130
            to 290 bytes for each call, a gigabyte for half a million orders (seen 2026-11). So functions are wrapped, and
            whoever evaluated gives back both. A version that does so itself is left alone: the counts tell.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

METH_VARARGS = 0x0001


class _MethodDef(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("meth", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _Handed(threading.local):
    """What functions of the evaluation under way were handed and returned, in this thread."""

    def __init__(self) -> None:
        self.tuples: list[tuple[Any, ...]] = []
        self.results: list[Any] = []


_handed = _Handed()
_api = ctypes.pythonapi
_release = _api.Py_DecRef
_release.argtypes, _release.restype = [ctypes.py_object], None
_new_function = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.POINTER(_MethodDef), ctypes.py_object, ctypes.c_void_p
)(("PyCFunction_NewEx", _api))
# A function of Python's own in C that gets a tuple of arguments hands that very tuple on, as the one argument of a call.
_WHOLE = _MethodDef(
    b"whole", ctypes.cast(_api.PyObject_CallOneArg, ctypes.c_void_p).value, METH_VARARGS, None
)
_OURS = 3
"""References to a tuple in `give_back` that are ours: the list, the loop, the question."""
_forgotten: set[type] = set()
"""The types of results that the library does not give back."""


def keep_none() -> None:
    """Make None immortal."""
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40


def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function for the library to call in place of `call`."""
    handed = _handed

    def whole(given: tuple[Any, ...]) -> Any:
        handed.tuples.append(given)
        result = call(*given)
        if type(result) in _forgotten:
            handed.results.append(result)
        return result

    function: Callable[..., Any] = _new_function(ctypes.byref(_WHOLE), whole, None)
    return function


def give_back() -> None:
    """After an evaluation: give back what its functions were handed, where the library did not."""
    tuples = _handed.tuples
    if not tuples:
        return
    for given in tuples:
        if sys.getrefcount(given) > _OURS:
            _release(given)
    tuples.clear()
    results = _handed.results
    for result in results:
        _release(result)
    results.clear()


def learn(evaluate: Callable[[Callable[[str], Any], str], object]) -> None:
    """Find out which results the library does not give back.

    Args:
        evaluate: evaluates once a function of the text 'x', which returns what the second argument names as a CEL type.
    """
    for kind, result in (
        ("int", int("1234567")),
        ("string", "".join("fresh")),
        ("timestamp", datetime.now(UTC)),
    ):
        before = sys.getrefcount(result)
        evaluate(lambda _text, result=result: result, kind)  # type: ignore[misc]
        if sys.getrefcount(result) > before:
            _forgotten.add(type(result))
