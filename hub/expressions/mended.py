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
from types import SimpleNamespace
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
_call_with_one = ctypes.cast(_api.PyObject_CallOneArg, ctypes.c_void_p).value
_definitions: list[_MethodDef] = []
"""CPython keeps pointers to them."""


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
        handed.results.append(result)
        return result

    # A function of C that gets a tuple of arguments hands that very tuple on, as the one argument of a call.
    name = getattr(call, "__name__", "function").encode()
    definition = _MethodDef(name, _call_with_one, METH_VARARGS, None)
    _definitions.append(definition)
    function: Callable[..., Any] = _new_function(ctypes.byref(definition), whole, None)
    return function


def give_back() -> None:
    """After an evaluation: give back what the library keeps of its functions' calls."""
    tuples, results = _handed.tuples, _handed.results
    for given in tuples:
        if sys.getrefcount(given) > _ALONE:
            _release(given)
    if _library.keeps_results:
        for result in results:
            _release(result)
    tuples.clear()
    results.clear()


def _alone() -> int:
    """Return how many references `give_back` counts of a tuple that nobody keeps; CPython's versions differ."""
    tuples = [(object(),)]
    for given in tuples:
        return sys.getrefcount(given)
    raise AssertionError


_ALONE = _alone()
_library = SimpleNamespace(keeps_results=False)


def learn(evaluate: Callable[[Callable[[str], Any]], object]) -> None:
    """Find out whether the library keeps what functions return. It does so whatever that is, also where it refuses it.

    Args:
        evaluate: evaluates the call of a function that is given a text and returns one.
    """
    result = str(1 << 64)  # new: a literal lives for ever from CPython 3.12 on
    before = sys.getrefcount(result)
    evaluate(lambda _text: result)
    _library.keeps_results = sys.getrefcount(result) > before
