"""CRC-32C, the checksum of TensorBoard's records, by table look-ups on whole blocks.

A bytewise loop in Python takes longer than all else that is done for a result.
"""

from __future__ import annotations

from functools import cache

import numpy as np

POLYNOMIAL = np.uint32(0x82F63B78)  # Castagnoli's, bits reversed
BLOCK = 256


@cache
def _tables() -> np.ndarray:
    """[BLOCK, 256] uint32: what a byte at a position of a block adds (xor) to the checksum after the block."""
    last = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        last = np.where(last & 1, (last >> 1) ^ POLYNOMIAL, last >> 1)
    tables = [last]
    for _ in range(BLOCK - 1):  # one byte further from the end
        tables.append(tables[0][tables[-1] & 255] ^ (tables[-1] >> 8))
    return np.stack(tables[::-1])


def crc32c(data: bytes) -> int:
    """The checksum of at least four bytes."""
    tables = _tables()
    padding = -len(data) % BLOCK  # zeros before the data change nothing
    padded = np.zeros(padding + len(data), np.uint8)
    padded[padding:] = np.frombuffer(data, np.uint8)
    padded[padding : padding + 4] ^= 255  # the value that the checksum starts from
    blocks = tables[np.arange(BLOCK), padded.reshape(-1, BLOCK)]
    crc = 0
    for part in np.bitwise_xor.reduce(blocks, 1).tolist():
        # The checksum so far goes into the next block as if it were the block's first four bytes.
        carried = (int(tables[i, crc >> 8 * i & 255]) for i in range(4))
        for share in carried:
            part ^= share
        crc = part
    return crc ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> int:
    """As TFRecord files hold it."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
