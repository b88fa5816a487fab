"""A second verifier of proofs, made from docs/protocol/proofs.md with nothing but Python's standard library.

verify.py PROOF TRUST [NOW_MS]   checks one document; exit status 0 or 1
verify.py --self-test            checks the documents beside this file, and that changed ones fail
"""

import base64
import hashlib
import json
import math
import pathlib
import struct
import sys

class Refused(Exception):
    pass


def need(holds, why):
    if not holds:
        raise Refused(why)


# --- Ed25519, strict (RFC 8032 without cofactor; points of low order are refused)

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(n, p):
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = add(q, p)
        p, n = add(p, p), n >> 1
    return q


def same(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def point(octets):
    y = int.from_bytes(octets, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    need(y < P, "a point has another spelling")
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * ROOT % P
    need((x * x - xx) % P == 0 and not (x == 0 and sign), "no point of the curve")
    x = P - x if x & 1 != sign else x
    found = (x, y, 1, x * y % P)
    need(not same(times(8, found), (0, 1, 1, 0)), "a point of low order")
    return found


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = point(BASE_Y.to_bytes(32, "little"))


def signed(key, message, signature):
    s = int.from_bytes(signature[32:], "little")
    need(s < ORDER, "a signature has another spelling")
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    need(same(times(s, BASE), add(point(signature[:32]), times(k, point(key)))), "a signature is invalid")


# --- words


def u32(n):
    return struct.pack("<I", n)


def u64(n):
    return struct.pack("<Q", n)


def text(t):
    return u32(len(t.encode())) + t.encode()


def sha(octets):
    return hashlib.sha256(octets).digest()


def tagged(tag, octets):
    return sha(u64(len(tag)) + tag + u64(len(octets)) + octets)


def number(t):
    need(isinstance(t, str) and t.isascii() and t.isdigit() and str(int(t)) == t and int(t) < 2**64, "a number")
    return int(t)


def hexed(t, length):
    need(isinstance(t, str) and t == t.lower(), "hex")
    octets = bytes.fromhex(t)
    need(octets.hex() == t and length in (None, len(octets)), "hex of another length")
    return octets


def based(t):
    octets = base64.b64decode(t, validate=True)
    need(base64.b64encode(octets).decode() == t, "base64 of another spelling")
    return octets


def fields(thing, names):
    need(isinstance(thing, dict) and list(thing) == names, f"fields {names}")
    return [thing[name] for name in names]


# --- blocks

HEADER = (
    "chain_id height time_ms proposer parent body_root app_hash receipts_hash validators_hash next_validators_hash"
).split()


class Set:
    """Address to (key, power), in the order of the set."""

    def __init__(self, members):
        self.members = {tagged2(key): (key, power) for key, power in members}
        need(members and len(self.members) == len(members), "a validator twice, or none")
        order = [(-power, address) for address, (_, power) in self.members.items()]
        need(order == sorted(order) and all(power > 0 for _, power in members), "the set's order")
        self.total = sum(power for _, power in members)
        need(self.total < 2**62, "too much power")
        for key, _ in members:
            point(key)
        self.bytes = u32(len(members)) + b"".join(key + u64(power) for key, power in members)
        self.hash = tagged(b"validators", self.bytes)


def tagged2(key):
    return tagged(b"address", key)[:20]


class Block:
    def __init__(self, wire):
        header, round_, signers, signatures, validators = fields(
            wire, ["header", "round", "signers", "signatures", "validators"]
        )
        values = fields(header, HEADER)
        self.chain_id, self.height, self.time_ms = values[0], number(values[1]), number(values[2])
        need(isinstance(self.chain_id, str) and len(self.chain_id.encode()) <= 50, "chain id")
        hashes = [hexed(values[3], 20)] + [hexed(t, 32) for t in values[4:]]
        self.parent, self.app_hash, self.set_hash, self.next_hash = (hashes[i] for i in (1, 3, 5, 6))
        self.name = tagged(b"header", text(self.chain_id) + u64(self.height) + u64(self.time_ms) + b"".join(hashes))
        need(type(round_) is int and 0 <= round_ < 2**32, "round")

        encoded = based(validators)
        count = struct.unpack("<I", encoded[:4])[0]
        need(len(encoded) == 4 + 40 * count and count <= 1000, "validators")
        entries = [encoded[4 + 40 * i : 44 + 40 * i] for i in range(count)]
        self.set = Set([(e[:32], struct.unpack("<Q", e[32:])[0]) for e in entries])
        need(self.set.hash == self.set_hash, "the set is not the header's")

        bits, octets = hexed(signers, (count + 7) // 8), based(signatures)
        places = [i for i in range(8 * len(bits)) if bits[i // 8] >> (i % 8) & 1]
        need(all(i < count for i in places) and len(octets) == 64 * len(places), "signers")
        addresses = list(self.set.members)
        self.signers, power = set(), 0
        for n, i in enumerate(places):
            address = addresses[i]
            message = text("vote") + text(self.chain_id) + b"\1" + u64(self.height) + b"\1" + u32(round_)
            message += b"\1" + self.name + address
            signed(self.set.members[address][0], message, octets[64 * n : 64 * n + 64])
            self.signers.add(address)
            power += self.set.members[address][1]
        need(3 * power > 2 * self.set.total, "not more than two thirds signed")


class Believed:
    def __init__(self, height, name, time_ms, members, next_hash):
        self.height, self.name, self.time_ms, self.set, self.next_hash = height, name, time_ms, members, next_hash

    def then(self, block):
        if block.height == self.height:
            need(block.name == self.name, "another block of the trusted height")
        elif block.height == self.height + 1:
            need(block.parent == (self.name or bytes(32)), "does not follow")
            need(block.set_hash == self.next_hash, "decided by another set")
        else:
            power = sum(p for a, (_, p) in self.set.members.items() if a in block.signers)
            need(3 * power > self.set.total, "not more than a third of the trusted power signed")
        sign = lambda a, b: (a > b) - (a < b)
        need(sign(block.height, self.height) == sign(block.time_ms, self.time_ms), "time")
        return Believed(block.height, block.name, block.time_ms, block.set, block.next_hash)


# --- documents


def trust_of(octets, now):
    wire = json.loads(octets)
    need(wire["format"] == "dodona-trust/1", "another form of trust")
    height, name, time_ms = number(wire["height"]), wire["block_id"], number(wire["time_ms"])
    need((height == 0) == (name is None), "a block's name, but for genesis")
    members = [(hexed(v["public_key"], 32), number(v["power"])) for v in wire["validators"]]
    members = Set(sorted(members, key=lambda m: (-m[1], tagged2(m[0]))))
    if now is not None:
        need(time_ms <= now + 60_000, "the trust is of the future")
        need(now - time_ms <= number(wire["unbonding_ms"]) // 3 * 2, "the trust is too old")
    return wire["chain_id"], Believed(height, name and hexed(name, 32), time_ms, members, members.hash)


def inference_of(octets):
    at = 0

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, octets, at)
        at += struct.calcsize("<" + form)
        return values

    topic, nonce, count = take("QQI")
    values = []
    for _ in range(count):
        (length,) = take("I")
        label = octets[at : at + length].decode()
        at += length
        numbers = take("6d")
        need(all(math.isfinite(x) and (x or math.copysign(1, x) > 0) for x in numbers), "no finite number")
        values.append({"label": label, "value": numbers[0], "interval": list(numbers[1:])})
    members, made, time_ms = take("IQQ")
    need(at == len(octets), "bytes left over")
    return {"topic": topic, "nonce": nonce, "values": values, "members": members, "at": made, "time_ms": time_ms}


def path(app_hash, key, value, siblings, other):
    place = sha(key)
    bit = lambda octets, d: octets[d // 8] >> (7 - d % 8) & 1
    need(len(siblings) % 32 == 0 and len(siblings) <= 32 * 256, "siblings")
    depth = len(siblings) // 32
    node = b"SPARSE_MERKLE_PLACEHOLDER_HASH__"
    if value is not None:
        need(other is None, "both a value and another leaf")
        node = sha(b"JMT::LeafNode" + place + sha(value))
    elif other is not None:
        there, what = (hexed(t, 32) for t in fields(other, ["key_hash", "value_hash"]))
        need(there != place and all(bit(there, d) == bit(place, d) for d in range(depth)), "another path")
        node = sha(b"JMT::LeafNode" + there + what)
    for n in range(depth):
        sibling = siblings[32 * n : 32 * n + 32]
        pair = sibling + node if bit(place, depth - 1 - n) else node + sibling
        node = sha(b"JMT::IntrnalNode" + pair)
    need(node == app_hash, "another root")


def verify(document, trust, now=None):
    """What the document proves, as a dict; raises what it likes where it proves nothing."""
    need(len(document) <= 1 << 20, "too large")
    wire = json.loads(document)
    need(json.dumps(wire, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" == document, "one form only")
    form, claim, links, block, state = fields(wire, ["format", "claim", "links", "block", "state"])
    need(form == "dodona-proof/1" and len(links) <= 32, "another form")
    keys = {"newest_inference": (b"t7", 1), "inference": (b"ti", 2), "no_topic": (b"tt", 1)}
    table, parts = keys[claim["what"]]
    numbers = [number(t) for t in fields(claim, ["what", "topic", "nonce"][: parts + 1])[1:]]
    key = table + b"".join(struct.pack(">Q", n) for n in numbers)

    chain_id, believed = trust_of(trust, now)
    links, block = [Block(link) for link in links], Block(block)
    heights = [b.height for b in links + [block]]
    need(heights == sorted(set(heights)), "links ascend")
    need(all(b.chain_id == chain_id for b in links + [block]), "another chain")
    for link in links:
        if link.height > believed.height:
            believed = believed.then(link)
    believed = believed.then(block)
    need(now is None or block.time_ms <= now + 60_000, "the block is of the future")

    named, value, siblings, other = fields(state, ["key", "value", "siblings", "other"])
    need(hexed(named, None) == key, "another key")
    value = None if value is None else based(value)
    path(block.app_hash, key, value, based(siblings), other)
    found = None
    if value is not None:
        need(parts == 2 or claim["what"] != "no_topic", "the topic exists")
        found = inference_of(value)
        need([found["topic"], found["nonce"]][: len(numbers)] == numbers, "of another topic or epoch")
    return {"claim": claim, "inference": found, "height": block.height, "time_ms": block.time_ms}


def fails(document, trust, now):
    try:
        verify(document, trust, now)
    except Exception:
        return True
    return False


def self_test():
    folder, now = pathlib.Path(__file__).parent, 100_000
    read = lambda name: (folder / f"{name}.json").read_bytes()
    trust = read("trust")
    for name in ["newest", "epoch", "linked", "no-topic", "no-inference"]:
        report = verify(read(name), trust, now)
        value = report["inference"] and report["inference"]["values"][0]["value"]
        assert (value, report["height"]) == (None if name.startswith("no") else 0.5, 60), report
        print("verified:", name, value)
    verify(read("linked"), read("trust-later"), now)
    assert fails(read("newest"), trust, 15 * 86_400_000), "old trust"
    for name, step in [("newest", 1), ("no-topic", 7)]:
        document = bytearray(read(name))
        for at in range(0, len(document), step):
            document[at] ^= 1
            assert fails(bytes(document), trust, now), f"{name}: byte {at}"
            document[at] ^= 1
        print(f"one-byte changes fail, every {step}:", name)


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    else:
        proof, trust = (pathlib.Path(p).read_bytes() for p in sys.argv[1:3])
        try:
            now = int(sys.argv[3]) if len(sys.argv) > 3 else None
            print(json.dumps(verify(proof, trust, now), indent=1))
        except (Refused, ValueError, KeyError, TypeError, struct.error, IndexError) as why:
            sys.exit(f"not verified: {why}")
