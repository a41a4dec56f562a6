"""An athlete's state as bytes and back: names, kinds, shapes and contents of arrays, and nothing that could run."""

from typing import Final

import msgspec
import numpy as np

from monitor.contract import RowState

_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(dict[str, dict[str, tuple[str, list[int], bytes]]])


def encode_state(state: dict[str, RowState]) -> bytes:
    """Return a state, by stage, as bytes."""
    plain = {
        stage: {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in row.items()}
        for stage, row in state.items()
    }
    return _encode(plain)


def decode_state(encoded: bytes) -> dict[str, RowState]:
    """Return the state that `encode_state` was given.

    Raises
    ------
    ValueError, TypeError, msgspec.DecodeError
        If it is damaged.
    """
    return {
        stage: {
            name: np.frombuffer(content, np.dtype(kind)).reshape(shape).copy()
            for name, (kind, shape, content) in row.items()
        }
        for stage, row in _decoder.decode(encoded).items()
    }
