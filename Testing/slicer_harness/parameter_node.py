"""``slicer.parameterNodeWrapper``: typed parameters stored in a node and connected to widgets.

Of Slicer's package the part that the modules use, as strict as the original: values are validated,
a widget is connected only where its exact class fits the type, unknown names raise ValueError.
"""

from __future__ import annotations

import typing
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import qt
import slicer
import vtk

MAXIMUM_INT = 2**31 - 1


@dataclass(frozen=True)
class WithinRange:
    """A number's smallest and largest value."""

    minimum: float
    maximum: float

    def validate(self, value: float) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} and {self.maximum}")


@dataclass(frozen=True)
class Choice:
    """The values to choose from."""

    choices: list[Any]

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is not one of {self.choices}")


@dataclass(frozen=True)
class Default:
    """A parameter's value when nobody has chosen one."""

    value: Any


@dataclass(frozen=True)
class Parameter:
    """One member of a wrapped class."""

    name: str
    kind: type
    annotations: tuple[Any, ...]
    default: Any

    @property
    def is_node(self) -> bool:
        return isinstance(self.kind, type) and issubclass(self.kind, slicer.vtkMRMLNode)

    def find(self, annotation: type) -> Any:
        return next((item for item in self.annotations if isinstance(item, annotation)), None)

    def is_in(self, node: Any) -> bool:
        return node.GetParameter(self.name) != "" or (
            self.is_node and self.name in node.GetParameterNames()
        )

    def read(self, node: Any) -> Any:
        if self.is_node:
            return node.GetNodeReference(self.name)
        if not self.is_in(node):
            return self.default
        text = node.GetParameter(self.name)
        return text == "True" if self.kind is bool else self.kind(text)

    def write(self, node: Any, value: Any) -> None:
        self._validate(value)
        if self.is_node:
            node.SetNodeReferenceID(self.name, value.GetID() if value else None)
            node.SetParameter(self.name, "")
        else:
            node.SetParameter(self.name, str(self.kind(value)))

    def _validate(self, value: Any) -> None:
        if self.is_node and value is None:
            return
        if value is None:
            raise ValueError(f"{self.name} cannot be None")
        accepted = (int, float) if self.kind is float else self.kind
        if not isinstance(value, accepted) or (isinstance(value, bool) and self.kind is not bool):
            raise TypeError(f"{self.name} takes {self.kind.__name__}, not {type(value).__name__}")
        for annotation in self.annotations:
            if hasattr(annotation, "validate"):
                annotation.validate(value)


def parameterNodeWrapper(cls: type) -> type:
    """Turn an annotated class into one whose members live in a parameter node."""
    parameters = {}
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        is_annotated = typing.get_origin(hint) is Annotated
        kind, *annotations = typing.get_args(hint) if is_annotated else (hint,)
        is_node = issubclass(kind, slicer.vtkMRMLNode)
        default = getattr(cls, name, None if is_node else kind())
        parameters[name] = Parameter(name, kind, tuple(annotations), default)
        setattr(cls, name, _property(name))
    return type(
        cls.__name__, (cls, _Wrapper), {"allParameters": parameters, "__doc__": cls.__doc__}
    )


def _property(name: str) -> property:
    return property(
        lambda self: self.getValue(name), lambda self, value: self.setValue(name, value)
    )


class _Wrapper:
    allParameters: dict[str, Parameter]

    def __init__(self, parameterNode: Any) -> None:
        self.parameterNode = parameterNode
        self._connections: dict[int, tuple[list[_Connector], int]] = {}
        self._updating_gui = False
        for parameter in self.allParameters.values():
            if not parameter.is_in(parameterNode):
                parameter.write(parameterNode, parameter.default)

    def getValue(self, name: str) -> Any:
        return self._parameter(name).read(self.parameterNode)

    def default(self, name: str) -> Default:
        return Default(self._parameter(name).default)

    def setValue(self, name: str, value: Any) -> None:
        with slicer.util.NodeModify(self.parameterNode):
            self._parameter(name).write(self.parameterNode, value)

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        connectors = [_connector(self._parameter(name), widget) for name, widget in mapping.items()]
        for connector in connectors:
            connector.write(connector.parameter.read(self.parameterNode))
            connector.connect(partial(self._on_gui_changed, connector))
        tag = max(self._connections, default=-1) + 1
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._update_gui())
        self._connections[tag] = (connectors, observer)
        return tag

    def disconnectGui(self, tag: int | None) -> None:
        if tag in self._connections:
            connectors, observer = self._connections.pop(tag)
            self.RemoveObserver(observer)
            for connector in connectors:
                connector.disconnect()

    def AddObserver(self, event: int | str, callback: Callable, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModifying: int) -> int:
        return self.parameterNode.EndModify(wasModifying)

    def Modified(self) -> None:
        self.parameterNode.Modified()

    def _parameter(self, name: str) -> Parameter:
        if name not in self.allParameters:
            raise ValueError(f"There is no parameter {name}; there are {list(self.allParameters)}")
        return self.allParameters[name]

    def _on_gui_changed(self, connector: _Connector) -> None:
        if not self._updating_gui:
            self.setValue(connector.parameter.name, connector.read())

    def _update_gui(self) -> None:
        if self._updating_gui:
            return
        self._updating_gui = True
        try:
            for connectors, _ in self._connections.values():
                for connector in connectors:
                    connector.write(connector.parameter.read(self.parameterNode))
        finally:
            self._updating_gui = False


class _Connector(ABC):
    """Carries one parameter to and from one widget."""

    signal, value = "", ""

    def __init__(self, parameter: Parameter, widget: Any) -> None:
        self.parameter, self.widget = parameter, widget
        self._slot: Callable[[], None] | None = None

    @classmethod
    @abstractmethod
    def fits(cls, parameter: Parameter, widget: Any) -> bool:
        """Whether Slicer connects such a parameter to such a widget."""

    def connect(self, slot: Callable[[], None]) -> None:
        self._slot = slot
        self.widget.connect(self.signal, slot)

    def disconnect(self) -> None:
        self.widget.disconnect(self.signal, self._slot)

    def read(self) -> Any:
        return getattr(self.widget, self.value)

    def write(self, value: Any) -> None:
        setattr(self.widget, self.value, value)


class _CheckBoxConnector(_Connector):
    signal, value = "toggled(bool)", "checked"

    @classmethod
    def fits(cls, parameter: Parameter, widget: Any) -> bool:
        return parameter.kind is bool and type(widget) is qt.QCheckBox


class _SpinBoxConnector(_Connector):
    value = "value"

    def __init__(self, parameter: Parameter, widget: Any) -> None:
        super().__init__(parameter, widget)
        self.signal = "valueChanged(int)" if parameter.kind is int else "valueChanged(double)"
        limit = MAXIMUM_INT if parameter.kind is int else float("inf")
        bounds = parameter.find(WithinRange) or WithinRange(-limit, limit)
        widget.minimum, widget.maximum = bounds.minimum, bounds.maximum

    @classmethod
    def fits(cls, parameter: Parameter, widget: Any) -> bool:
        return (parameter.kind, type(widget)) in ((int, qt.QSpinBox), (float, qt.QDoubleSpinBox))


class _ComboBoxConnector(_Connector):
    signal = "currentIndexChanged(int)"

    def __init__(self, parameter: Parameter, widget: Any) -> None:
        super().__init__(parameter, widget)
        self._choices = parameter.find(Choice).choices
        widget.clear()
        for choice in self._choices:
            widget.addItem(str(choice))

    @classmethod
    def fits(cls, parameter: Parameter, widget: Any) -> bool:
        return type(widget) is qt.QComboBox and parameter.find(Choice) is not None

    def read(self) -> Any:
        return self._choices[self.widget.currentIndex]

    def write(self, value: Any) -> None:
        self.widget.currentIndex = self._choices.index(value)


class _LineEditConnector(_Connector):
    signal, value = "textChanged(QString)", "text"

    @classmethod
    def fits(cls, parameter: Parameter, widget: Any) -> bool:
        return parameter.kind is str and type(widget) is qt.QLineEdit


class _NodeConnector(_Connector):
    signal = "currentNodeChanged(vtkMRMLNode*)"

    def __init__(self, parameter: Parameter, widget: Any) -> None:
        super().__init__(parameter, widget)
        widget.nodeTypes = [parameter.kind().GetClassName()]  # fails for abstract classes

    @classmethod
    def fits(cls, parameter: Parameter, widget: Any) -> bool:
        return parameter.is_node and type(widget) is slicer.qMRMLNodeComboBox

    def read(self) -> Any:
        return self.widget.currentNode()

    def write(self, value: Any) -> None:
        self.widget.setCurrentNode(value)


def _connector(parameter: Parameter, widget: Any) -> _Connector:
    for kind in (
        _CheckBoxConnector,
        _SpinBoxConnector,
        _ComboBoxConnector,
        _LineEditConnector,
        _NodeConnector,
    ):
        if kind.fits(parameter, widget):
            return kind(parameter, widget)
    raise RuntimeError(f"{parameter.name} cannot be connected to a {type(widget).__name__}")
