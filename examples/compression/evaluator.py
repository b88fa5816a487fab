"""Judges text compression: by size, and only what comes back to the last byte.

Every round asks for another text that nobody has seen. An answer names one of three formats that this file unpacks
itself, so that no miner's word is taken for anything, and unpacking is bounded in size and memory.
"""

import base64
import binascii
import bz2
import json
import lzma
import random
import zlib

_draw = random.SystemRandom()
# Bytes of a text.
_SIZE = 40_000
_MEMORY = 64 << 20

_SYLLABLES = "ba de fi go lu mar ne pol qui ra sen ti un ver wo xi yl zo cra str eth ou an er in on re st".split()


def _words(count):
    return ["".join(_draw.choice(_SYLLABLES) for _ in range(_draw.randint(1, 4))) for _ in range(count)]


def _prose(size):
    """Sentences over a vocabulary of its own, common words often and rare ones seldom, phrases that return."""
    words = _words(600)
    common = [1 / (rank + 2) for rank in range(len(words))]
    phrases = [_draw.choices(words, common, k=_draw.randint(2, 5)) for _ in range(60)]
    out, length = [], 0
    while length < size:
        sentence = []
        while len(sentence) < _draw.randint(6, 18):
            sentence += _draw.choice(phrases) if _draw.random() < 0.3 else _draw.choices(words, common)
        text = " ".join(sentence).capitalize() + _draw.choice([".", ".", ".", "?", ";"]) + _draw.choice([" ", " ", "\n"])
        out.append(text)
        length += len(text)
    return "".join(out)


def _log(size):
    """Lines of a program that says much the same again and again."""
    names, time, out, length = _words(12), _draw.randrange(10**9), [], 0
    while length < size:
        time += _draw.randrange(5_000)
        line = "%012d %s %s: request %08x took %d ms, status %d\n" % (
            time, _draw.choice(["INFO", "INFO", "WARN"]), _draw.choice(names), _draw.getrandbits(32),
            int(_draw.expovariate(1 / 40)), _draw.choice([200, 200, 200, 404, 500]))
        out.append(line)
        length += len(line)
    return "".join(out)


def _table(size):
    """Records with numbers that walk."""
    names, level, out, length = _words(5), [0.0] * 5, [], 0
    while length < size:
        level = [value + _draw.gauss(0, 1) for value in level]
        row = json.dumps(dict(zip(names, (round(value, 2) for value in level)))) + "\n"
        out.append(row)
        length += len(row)
    return "".join(out)


def task(number):
    kinds = _draw.sample([_prose, _log, _table], k=2)
    share = _draw.randint(_SIZE // 4, 3 * _SIZE // 4)
    return {"do": "compress", "formats": sorted(_UNPACK), "text": kinds[0](share) + kinds[1](_SIZE - share)}


def _unpacked(unpacker, packed, most):
    text = unpacker.decompress(packed, most)
    whole = unpacker.eof and not unpacker.unused_data
    return text if whole else None


_UNPACK = {
    "bz2": bz2.BZ2Decompressor,
    "lzma": lambda: lzma.LZMADecompressor(memlimit=_MEMORY),
    "zlib": zlib.decompressobj,
}


def size(text, answer):
    """Bytes of a packed text, or None where it is not exactly this text."""
    if not isinstance(answer, dict) or not all(isinstance(answer.get(name), str) for name in ("format", "packed")):
        return None
    if answer["format"] not in _UNPACK:
        return None
    wanted = text.encode()
    try:
        packed = base64.b64decode(answer["packed"], validate=True)
        # One byte more than wanted is enough to know that it is too long.
        found = _unpacked(_UNPACK[answer["format"]](), packed, len(wanted) + 1)
    except (binascii.Error, ValueError, EOFError, OSError, zlib.error, lzma.LZMAError, MemoryError):
        return None
    return len(packed) if found == wanted else None


def score(task, answers):
    sizes = [size(task["text"], said["answer"]) for said in answers]
    smallest = min((found for found in sizes if found), default=None)
    # A tenth more bytes are worth a third less: who packs best earns clearly more.
    return [(smallest / found) ** 4 if found else 0.0 for found in sizes]
