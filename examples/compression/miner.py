"""A miner that works for its pay: packs with every format and many settings, and answers with the smallest."""

import base64
import bz2
import lzma
import zlib


def _candidates(text):
    yield "bz2", bz2.compress(text, 9)
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED):
        packer = zlib.compressobj(9, zlib.DEFLATED, 15, 9, strategy)
        yield "zlib", packer.compress(text) + packer.flush()
    for lc in (0, 2, 3, 4):
        for pb in (0, 2):
            filters = [{"id": lzma.FILTER_LZMA1, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 20,
                        "lc": lc, "lp": 0, "pb": pb}]
            yield "lzma", lzma.compress(text, format=lzma.FORMAT_ALONE, filters=filters)


def answer(task):
    name, packed = min(_candidates(task["text"].encode()), key=lambda found: len(found[1]))
    return {"format": name, "packed": base64.b64encode(packed).decode()}
