"""Messages arrive as they were sent; anything else is refused before it does harm."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from needle_backend.service.protocol import (
    DTYPES,
    MAGIC,
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    PREFIX,
    Decoder,
    Message,
    ProtocolError,
    encode,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(st.text().filter(lambda name: name not in ("kind", "id", "arrays")), JSON)
ARRAYS = arrays_of.arrays(
    st.sampled_from(sorted(DTYPES)), arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0)
)
MESSAGES = st.builds(
    Message,
    st.text(),
    st.integers(0, 2**53),
    FIELDS,
    st.dictionaries(st.text(), ARRAYS, max_size=3),
)


def raw(header: bytes, body: bytes = b"") -> bytes:
    return PREFIX.pack(MAGIC, len(header), len(body)) + header + body


def decode(data: bytes) -> list[Message]:
    return list(Decoder().feed(data))


def assert_same(received: Message, sent: Message) -> None:
    assert (received.kind, received.id, received.fields) == (sent.kind, sent.id, sent.fields)
    assert received.arrays.keys() == sent.arrays.keys()
    for name, array in sent.arrays.items():
        assert received.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(received.arrays[name], array)


@given(MESSAGES)
def test_a_message_arrives_as_it_was_sent(message):
    (received,) = decode(encode(message))
    assert_same(received, message)


@given(st.lists(MESSAGES, max_size=4), st.data())
def test_messages_arrive_whole_in_whatever_pieces_their_bytes_come(messages, data):
    stream = b"".join(encode(message) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    decoder = Decoder()
    received = [message for piece in pieces for message in decoder.feed(piece)]
    assert len(received) == len(messages)
    for got, sent in zip(received, messages, strict=True):
        assert_same(got, sent)
    assert decoder.is_between_messages


def test_an_array_of_the_other_byte_order_keeps_its_values():
    array = np.array([1, 2, 300], dtype=">i2")
    (received,) = decode(encode(Message("x", 1, {}, {"a": array})))
    np.testing.assert_array_equal(received.arrays["a"], [1, 2, 300])


def test_a_message_cut_short_is_waited_for():
    data = encode(Message("volume", 3, {"a": 1}))
    decoder = Decoder()
    assert list(decoder.feed(data[:-1])) == []
    assert not decoder.is_between_messages
    assert [message.id for message in decoder.feed(data[-1:])] == [3]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        encode(Message("hello")).replace(MAGIC, b"NGB2"),
        PREFIX.pack(MAGIC, MAX_HEADER_BYTES + 1, 0),
        PREFIX.pack(MAGIC, 2, MAX_BODY_BYTES + 1),
        raw(b"\x80\x04K\x01."),  # a pickle
        raw(b"[]"),
        raw(b"{}"),
        raw(b'{"kind": 7, "id": 1}'),
        raw(b'{"kind": "hello", "id": true}'),
        raw(b'{"kind": "hello", "id": 1}', b"surplus"),
        raw(b'{"kind": "hello", "id": 1, "arrays": 3}'),
        raw(b'{"kind": "hello", "id": 1, "arrays": [3]}'),
        raw(b"[" * 100_000),
        raw(b'{"kind": "hello", "id": ' + b"9" * 5000 + b"}"),
        b"\x00" * 64,
    ],
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ProtocolError):
        decode(data)


@pytest.mark.parametrize(
    "form",
    [
        {"dtype": "object", "shape": [1]},
        {"dtype": "O", "shape": [1]},
        {"dtype": ["int16"], "shape": [1]},
        {"dtype": "int16", "shape": [-1]},
        {"dtype": "int16", "shape": [2.0]},
        {"dtype": "int16", "shape": [True]},
        {"dtype": "int16", "shape": [1] * 5},
        {"dtype": "int16", "shape": [2**40, 2**40]},
        {"dtype": "int16", "shape": [0, 2**62]},
        {"dtype": "int16", "shape": "1"},
        {"dtype": "int16", "shape": [2]},
    ],
)
def test_an_array_that_does_not_fit_its_description_is_refused(form):
    header = json.dumps({"kind": "x", "id": 1, "arrays": [{"name": "a", **form}]}).encode()
    with pytest.raises(ProtocolError):
        decode(raw(header, b"\x00\x00"))


def test_an_object_array_is_never_sent():
    with pytest.raises(ProtocolError):
        encode(Message("x", 1, {}, {"a": np.array([print])}))


def test_a_message_too_large_to_be_read_is_not_sent():
    with pytest.raises(ProtocolError):
        encode(Message("x", 1, {"text": "x" * MAX_HEADER_BYTES}))


def test_ten_thousand_damaged_messages_are_read_or_refused_and_nothing_else():
    dice = random.Random(0)
    original = encode(
        Message("score", 5, {"volume": 1}, {"lines_lps": np.arange(12.0).reshape(2, 2, 3)})
    )
    outcomes = {"read": 0, "refused": 0, "waited for": 0}
    for _ in range(10_000):
        data = bytearray(original)
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        del data[dice.choice([len(data), dice.randrange(len(data))]) :]
        try:
            messages = decode(bytes(data))
        except ProtocolError:
            outcomes["refused"] += 1
        else:
            outcomes["read" if messages else "waited for"] += 1
    assert all(outcomes.values()), outcomes
