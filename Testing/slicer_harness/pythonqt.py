"""``qt`` as Slicer's Python sees it: PySide6 dressed in PythonQt's manners.

Properties are attributes (``button.text``), signals are connected by their C++ signature
(``button.connect("clicked(bool)", slot)``), and C++ objects take no new attributes. What differs on
purpose: an unknown signal raises here, where PythonQt only prints.
"""

from __future__ import annotations

import ctypes
import inspect
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

QT_MODULES = (QtCore, QtGui, QtWidgets, QtUiTools, QtNetwork)
INTEGER_TYPES = {QtCore.QMetaType.Type.Int.value, QtCore.QMetaType.Type.UInt.value}

_plain_get = QtCore.QObject.__getattribute__
_property_indices: dict[type, dict[str, int]] = {}
_connections: dict[tuple[int, str], list[tuple[Callable, Callable]]] = {}
_loading_ui = False


def cpp_class(*extra_signals: str) -> Callable[[type], type]:
    """Mark a stand-in as a C++ class, with signals whose C++ signature Python cannot declare."""

    def mark(cls: type) -> type:
        cls._is_cpp = True
        cls._extra_signals = frozenset(extra_signals)
        return cls

    return mark


def dress() -> ModuleType:
    """Give every Qt class PythonQt's manners, once, and return the module ``qt``."""
    _keep_none_alive()
    qt = ModuleType("qt")
    for module in QT_MODULES:
        for name in dir(module):  # PySide6 makes its classes when they are first asked for
            value = getattr(module, name)
            if not name.startswith("__"):
                setattr(qt, name, value)
            if isinstance(value, type) and issubclass(value, QtCore.QObject):
                value.__getattribute__ = _get_attribute
                value.__setattr__ = _set_attribute
    return qt


def _keep_none_alive() -> None:
    """Give None references to lose, and keep Python from ending when the last one is gone.

    PySide6 6.12 takes None for immortal, as it is from Python 3.12 on: on 3.11 every call that
    returns None costs None one reference.
    """
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40


class LoadingUi:
    """While a .ui file is loaded: QUiLoader stores children as attributes, PythonQt does not."""

    def __enter__(self) -> None:
        global _loading_ui
        _loading_ui = True

    def __exit__(self, *error: object) -> None:
        global _loading_ui
        _loading_ui = False


def _get_attribute(self: QtCore.QObject, name: str) -> Any:
    if name.startswith("_") or name in ("property", "setProperty", "metaObject"):
        return _plain_get(self, name)
    if name in _PYTHONQT_MEMBERS:
        return _PYTHONQT_MEMBERS[name](self)
    if name in _properties(self):
        return _property(self, name).read(self)
    try:
        return _plain_get(self, name)
    except AttributeError:
        if name.encode() in [bytes(key) for key in _plain_get(self, "dynamicPropertyNames")()]:
            return _plain_get(self, "property")(name)
        raise


def _set_attribute(self: QtCore.QObject, name: str, value: Any) -> None:
    if name == "name":
        _plain_get(self, "setObjectName")(value)
    elif name in _properties(self):
        _write_property(self, name, value)
    elif isinstance(value, QtCore.SignalInstance) or name.startswith("_"):
        _set_in_python(self, name, value)
    elif not _loading_ui:
        if _is_cpp(type(self)):
            raise AttributeError(
                f"{type(self).__name__} has no property '{name}', nor takes a new one"
            )
        _set_in_python(self, name, value)


def _set_in_python(self: QtCore.QObject, name: str, value: Any) -> None:
    descriptor = inspect.getattr_static(type(self), name, None)
    if hasattr(type(descriptor), "__set__"):
        descriptor.__set__(self, value)
    else:
        _plain_get(self, "__dict__")[name] = value


def _write_property(self: QtCore.QObject, name: str, value: Any) -> None:
    if isinstance(value, np.generic):
        value = value.item()
    meta_property = _property(self, name)
    if meta_property.typeId() in INTEGER_TYPES and isinstance(value, float):
        value = int(value)  # PySide6 rounds, PythonQt truncates
    if isinstance(value, tuple):
        value = list(value)
    if not meta_property.write(self, value):
        raise TypeError(f"{type(self).__name__}.{name} cannot be {value!r}")


def _properties(self: QtCore.QObject) -> dict[str, int]:
    cls = type(self)
    if cls not in _property_indices:
        meta = _plain_get(self, "metaObject")()
        _property_indices[cls] = {meta.property(i).name(): i for i in range(meta.propertyCount())}
    return _property_indices[cls]


def _property(self: QtCore.QObject, name: str) -> QtCore.QMetaProperty:
    return _plain_get(self, "metaObject")().property(_properties(self)[name])


def _is_cpp(cls: type) -> bool:
    return cls.__module__.startswith("PySide6") or cls.__dict__.get("_is_cpp", False)


def _signal(self: QtCore.QObject, signature: str) -> tuple[Any, int]:
    """Return the signal of a C++ signature and how many arguments it sends."""
    signature = signature.replace(" ", "")
    name, _, arguments = signature.rstrip(")").partition("(")
    is_extra = signature in getattr(type(self), "_extra_signals", ())
    if not is_extra and _plain_get(self, "metaObject")().indexOfSignal(signature) < 0:
        raise ValueError(f"{type(self).__name__} has no signal {signature}")
    signal = _plain_get(self, name)
    if arguments and not is_extra:
        signal = signal[arguments]
    return signal, len(arguments.split(",")) if arguments else 0


def _connect(self: QtCore.QObject, signature: str, slot: Callable) -> bool:
    signal, sent = _signal(self, signature)
    taken = min(sent, _positional_count(slot))

    def deliver(*arguments: Any) -> None:
        slot(*arguments[:taken])

    signal.connect(deliver)
    _connections.setdefault((id(self), signature), []).append((slot, deliver))
    return True


def _disconnect(self: QtCore.QObject, signature: str, slot: Callable | None = None) -> bool:
    signal, _ = _signal(self, signature)
    connected = _connections.pop((id(self), signature), [])
    for known, deliver in connected:
        if slot is None or known == slot:
            signal.disconnect(deliver)
        else:
            _connections.setdefault((id(self), signature), []).append((known, deliver))
    return True


def _positional_count(slot: Callable) -> int:
    """Return how many arguments a slot takes; PythonQt leaves out those it does not."""
    kinds = [parameter.kind for parameter in inspect.signature(slot).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return 99
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(kind in positional for kind in kinds)


_PYTHONQT_MEMBERS: dict[str, Callable[[QtCore.QObject], Any]] = {
    "connect": lambda self: lambda *arguments: _connect(self, *arguments),
    "disconnect": lambda self: lambda *arguments: _disconnect(self, *arguments),
    "name": lambda self: _plain_get(self, "objectName")(),
    "className": lambda self: lambda: _plain_get(self, "metaObject")().className(),
    "delete": lambda self: _plain_get(self, "deleteLater"),
}
