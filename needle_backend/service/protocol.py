"""What client and server say to each other over the server's stdin and stdout.

A message on the wire
---------------------
===========  =====  ==========================================================================
bytes        type   meaning
===========  =====  ==========================================================================
0..3         bytes  ``b"NGB1"``: the mark of this protocol and its version
4..7         u32    length of the header, little-endian, at most :data:`MAX_HEADER_BYTES`
8..11        u32    length of the body, little-endian, at most :data:`MAX_BODY_BYTES`
12..         JSON   header: ``kind``, ``id`` and the message's fields; UTF-8
then         raw    body: the arrays listed in the header's ``arrays``, one after the other
===========  =====  ==========================================================================

``arrays`` is a list of ``{"name", "dtype", "shape"}``; arrays are C-ordered, in the machine's byte
order, of the types in :data:`DTYPES`. Volumes and frames are larger than a pipe is good for and go
through shared memory (:mod:`needle_backend.service.shared`); their message has a field ``shared``.
Nothing is ever unpickled. Bytes that are not such a message end the connection, because there is no
telling where the next one begins; a message that can be read but makes no sense is answered with an
``error``.

The client asks (``id`` is the client's number for the request and comes back in every answer)
----------------------------------------------------------------------------------------------
``hello``     ``version``, ``prefix`` (of its shared memory); first, and from one client only
``info``      -> ``result``: versions, device, weights
``load``      ``weights``, ``device`` -> ``result``; reads the weights before they are needed
``volume``    ``shared``, ``spacing_mm``, ``origin_lps``, ``source``, ``warnings`` -> ``taken``;
              the server keeps the newest volume only, under the message's id
``locate``    ``volume``, ``options`` -> ``progress``..., ``result`` with the needles
``score``     ``volume``, array ``lines_lps`` (n, 2, 3) -> ``result`` with array ``scores`` (n,)
``fit``       ``volume``, ``options``, arrays ``line_lps`` (2, 3), ``others_lps`` (n, 2, 3) ->
              ``result`` with array ``line_lps``: laid onto the shaft beside it
``find_handle``  ``volume``, ``options``, arrays ``tip_lps`` (3,), ``handles_lps`` (n, 3),
              ``others_lps`` (m, 2, 3) -> ``result`` with array ``line_lps`` (2, 3)
``track``     ``shared``, ``frame``, ``time_s``, ``options`` -> ``taken``, then ``result`` (with
              ``state``, ``tip``, ``frame``, ``time_s``, and ``dropped``, the frames dropped so far)
              or ``dropped``
``cancel``    ``job``: the id of the request to give up; it still gets its ``result`` or ``error``
``shutdown``  no answer; the server ends, as it does when its stdin ends

The server answers
------------------
``hello``     ``version``, ``pid``; unasked, at once, before torch is imported
``ready``     ``info``; unasked, when models can be loaded
``pulse``     unasked, every second: the process lives
``taken``     the shared memory of this request was copied and freed
``progress``  ``stage``, ``fraction``
``result``, ``dropped``, ``error`` (``error``: "input", "backend", "cancelled"; ``message``)
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAGIC = b"NGB1"
PREFIX = struct.Struct("<4sII")
MAX_HEADER_BYTES = 4 << 20
MAX_BODY_BYTES = 64 << 20
MAX_DIMENSIONS = 4
MAX_ARRAY_BYTES = 4 << 30
DTYPES = frozenset(["uint8", "int8", "uint16", "int16", "int32", "int64", "float32", "float64"])


class ProtocolError(Exception):
    """What arrived cannot be a message; the connection is of no more use."""


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes
    ----------
    kind
        What is asked or answered, see the module's docstring.
    id
        The request's number; 0 where nothing was requested.
    fields
        Anything JSON can hold.
    arrays
        Arrays by name.
    """

    kind: str
    id: int = 0
    fields: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class ArrayForm:
    """Type and shape of an array that travels, checked before memory is touched."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def byte_count(self) -> int:
        """Size of the array."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @classmethod
    def of(cls, array: np.ndarray) -> ArrayForm:
        """Return the form of ``array``; raises ProtocolError when it may not travel."""
        return cls.from_dict({"dtype": array.dtype.name, "shape": list(array.shape)})

    @classmethod
    def from_dict(cls, data: Any) -> ArrayForm:
        """Read ``{"dtype", "shape"}``; raises ProtocolError for anything else."""
        if not isinstance(data, dict):
            raise ProtocolError("an array is described by a JSON object")
        dtype, shape = data.get("dtype"), data.get("shape")
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise ProtocolError(f"arrays of type {dtype!r} do not travel")
        if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
            raise ProtocolError(f"an array has at most {MAX_DIMENSIONS} dimensions")
        if not all(type(size) is int and size >= 0 for size in shape):
            raise ProtocolError("an array's shape consists of whole numbers")
        if math.prod(max(1, size) for size in shape) * np.dtype(dtype).itemsize > MAX_ARRAY_BYTES:
            raise ProtocolError(f"an array has at most {MAX_ARRAY_BYTES >> 20} MB")
        return cls(dtype, tuple(shape))

    def to_dict(self) -> dict[str, Any]:
        """Inverse of :meth:`from_dict`."""
        return {"dtype": self.dtype, "shape": list(self.shape)}


def encode(message: Message) -> bytes:
    """Return a message as bytes; raises ProtocolError when it exceeds the limits."""
    arrays = {
        name: np.ascontiguousarray(array, array.dtype.newbyteorder("="))
        for name, array in message.arrays.items()
    }
    header = {
        **message.fields,
        "kind": message.kind,
        "id": message.id,
        "arrays": [
            {"name": name, **ArrayForm.of(array).to_dict()} for name, array in arrays.items()
        ],
    }
    header_bytes = json.dumps(header).encode()
    body = b"".join(array.tobytes() for array in arrays.values())
    check_sizes(len(header_bytes), len(body))
    return PREFIX.pack(MAGIC, len(header_bytes), len(body)) + header_bytes + body


class Decoder:
    """Cuts a stream of bytes, arriving in any pieces, into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterable[Message]:
        """Add bytes and yield the messages they complete.

        Raises
        ------
        ProtocolError
            When the bytes are no message; nothing can be read after that.
        """
        self._buffer += data
        while len(self._buffer) >= PREFIX.size:
            magic, header_length, body_length = PREFIX.unpack_from(self._buffer)
            if magic != MAGIC:
                raise ProtocolError("these bytes are not of this protocol, or of another version")
            check_sizes(header_length, body_length)
            body_start = PREFIX.size + header_length
            end = body_start + body_length
            if len(self._buffer) < end:
                return
            header = bytes(self._buffer[PREFIX.size : body_start])
            body = bytes(self._buffer[body_start:end])
            del self._buffer[:end]
            yield read_message(header, body)

    @property
    def is_between_messages(self) -> bool:
        """Whether all bytes so far belonged to whole messages."""
        return not self._buffer


def check_sizes(header_length: int, body_length: int) -> None:
    """Raise ProtocolError for a message larger than the limits."""
    if header_length > MAX_HEADER_BYTES or body_length > MAX_BODY_BYTES:
        raise ProtocolError(
            f"a message of {header_length} + {body_length} bytes is larger than the limit of "
            f"{MAX_HEADER_BYTES} + {MAX_BODY_BYTES}"
        )


def read_message(header_bytes: bytes, body: bytes) -> Message:
    """Make a message of its two parts; raises ProtocolError when they do not fit together."""
    try:
        header = json.loads(header_bytes)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a header is not JSON") from error
    if not isinstance(header, dict):
        raise ProtocolError("a header is a JSON object")
    kind, number = header.pop("kind", None), header.pop("id", None)
    if not isinstance(kind, str) or type(number) is not int:
        raise ProtocolError("a header has a kind (text) and an id (whole number)")
    return Message(kind, number, header, read_arrays(header.pop("arrays", []), body))


def read_arrays(descriptions: Any, body: bytes) -> dict[str, np.ndarray]:
    """Cut a body into the arrays described; raises ProtocolError when they do not fill it."""
    if not isinstance(descriptions, list):
        raise ProtocolError("arrays are listed")
    arrays = {}
    start = 0
    for description in descriptions:
        form = ArrayForm.from_dict(description)
        end = start + form.byte_count
        if end > len(body):
            raise ProtocolError("the body is shorter than its arrays")
        values = np.frombuffer(body[start:end], dtype=form.dtype)
        arrays[str(description.get("name"))] = values.reshape(form.shape)
        start = end
    if start != len(body):
        raise ProtocolError("the body is longer than its arrays")
    return arrays
