# SPDX-License-Identifier: MIT
"""A client of managerd that shares no code with libmp: proto/*.proto and Python's protobuf.

client.py DIRECTORY SOCKET [KEY]: the modules made by protoc are in the directory; with a key, the daemon has it.
"""
import hashlib
import hmac
import os
import socket
import struct
import sys

sys.path.insert(0, sys.argv[1])
import manager_pb2 as manager
import value_pb2 as values


class Failure(Exception):
    pass


class Object:
    """A reference: in values that are sent, by token; in those that come, by number, too."""

    def __init__(self, token, class_name, reference=None):
        self.token, self.class_name, self.reference = token, class_name, reference


def encode(value):
    result = values.Value()
    if value is None:
        result.nil = values.NIL
    elif isinstance(value, bool):
        result.boolean = value
    elif isinstance(value, int) and value < 1 << 63:
        result.i64 = value
    elif isinstance(value, int):
        result.u64 = value
    elif isinstance(value, float):
        result.f64 = value
    elif isinstance(value, str):
        result.str = value
    elif isinstance(value, bytes):
        result.bytes = value
    elif isinstance(value, Object):
        result.reference.token = value.token
        result.reference.class_name = value.class_name
    elif isinstance(value, list):
        result.list.SetInParent()
        for item in value:
            result.list.items.append(encode(item))
    else:
        result.dict.SetInParent()
        for pair in value.items():
            result.dict.items.extend(encode(part) for part in pair)
    return result


def decode(value, references=()):
    """`references`: an iterator of the numbers in the response."""
    kind = value.WhichOneof("kind")
    if kind == "reference":
        return Object(value.reference.token, value.reference.class_name, next(references))
    if kind == "nil":
        return None
    if kind == "boolean":
        return value.boolean
    if kind == "list":
        return [decode(item, references) for item in value.list.items]
    if kind == "dict":
        parts = [decode(item, references) for item in value.dict.items]
        return dict(zip(parts[::2], parts[1::2]))
    return getattr(value, kind)


def to_bytes(value):
    return encode(value).SerializeToString()


def from_bytes(data):
    return decode(values.Value.FromString(data))


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(path)
        self.last_id = 0

    def send(self, operation, **fields):
        self.last_id += 1
        request = manager.Request(id=self.last_id)
        message = getattr(request, operation)
        message.SetInParent()
        for name, value in fields.items():
            setattr(message, name, value)
        data = request.SerializeToString()
        self.socket.sendall(struct.pack("<I", len(data)) + data)
        return self.last_id

    def read(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def receive(self, number):
        (length,) = struct.unpack("<I", self.read(4))
        response = manager.Response.FromString(self.read(length))
        assert response.id == number, response
        if response.code != manager.OK:
            assert response.detail
            raise Failure(response.code)
        return response

    def call(self, operation, **fields):
        return self.receive(self.send(operation, **fields))


def expect(code, client, operation, **fields):
    try:
        client.call(operation, **fields)
    except Failure as failure:
        assert failure.args[0] == code, failure
    else:
        raise AssertionError(f"{operation} succeeded")


def call_for(response):
    return decode(values.Value.FromString(response.value), iter(response.references))


class Proxy:
    """An object by the names of its methods; the thread's number is the client's choice."""

    def __init__(self, client, opened, thread=1):
        self.client, self.opened, self.thread = client, opened, thread

    def fields(self, method, args, timeout_ms):
        fields = dict(reference=self.opened.reference, method=method, args=to_bytes(list(args)),
                      thread=self.thread)
        if timeout_ms is not None:
            fields["timeout_ms"] = timeout_ms
        return fields

    def __call__(self, method, *args, timeout_ms=None):
        return call_for(self.client.call("call", **self.fields(method, args, timeout_ms)))

    def fails(self, code, method, *args, timeout_ms=None):
        expect(code, self.client, "call", **self.fields(method, args, timeout_ms))

    def send(self, method, *args, timeout_ms=None):
        return self.client.send("call", **self.fields(method, args, timeout_ms))


def open_object(client, class_name, name="", *args, thread=1):
    opened = client.call("open", class_name=class_name, name=name.encode(),
                         args=to_bytes(list(args))).opened
    assert opened.class_name == class_name
    return Proxy(client, opened, thread)


def greeted(path):
    client = Client(path)
    client.call("hello", version=1)
    return client


def test_containers(path):
    client = greeted(path)
    pages = open_object(client, "list", "pages")
    pages("extend", [3, 1, 2])
    pages("sort")
    assert pages("items") == [1, 2, 3] and pages("get", -1) == 3
    assert pages("slice", None, None, -2) == [3, 1]
    pages.fails(manager.OUT_OF_RANGE, "get", 3)
    pages.fails(manager.UNKNOWN_METHOD, "jump")
    pages.fails(manager.INVALID, "get")
    expect(manager.UNKNOWN_CLASS, client, "open", class_name="unicorn")
    expect(manager.WRONG_TYPE, client, "open", class_name="lock", name=b"pages")

    # An object inside another one: it comes with a number, and lives on.
    inner = open_object(client, "counter")
    pages("append", Object(inner.opened.token, "counter"))
    client.call("close", reference=inner.opened.reference)
    got = pages("pop")
    assert (got.token, got.class_name) == (inner.opened.token, "counter")
    assert Proxy(client, got)("add", 5) == 5

    stock = open_object(client, "dict")
    stock("add", "tickets", 1)
    sell = [["at_least", "tickets", 1], ["add", "tickets", -1], ["set", "buyer", "me"]]
    stock("transact", None, sell)
    stock.fails(manager.CONFLICT, "transact", None, sell)
    assert stock("get_many", ["tickets", "buyer", "x"]) == {"tickets": 0, "buyer": "me"}

    stock("set_for", "lease", 1, 60000)
    assert 0 < stock("ttl", "lease") <= 60000 and stock("ttl", "buyer") is None
    assert stock("persist", "lease") is True and stock("persist", "lease") is False
    stock("expire", "lease", 1)
    while client.call("dict_contains", reference=stock.opened.reference,
                      key=to_bytes("lease")).count:
        pass
    stock.fails(manager.NOT_FOUND, "ttl", "lease")
    stock.fails(manager.INVALID, "set_for", "lease", 1, 0)

    marks = open_object(client, "array", "", "h", [1, 2, 3])
    assert marks("type") == "h" and marks("add", -1, 4) == 7
    assert marks("slice", None, None, -1) == [7, 2, 1]
    marks("set_slice", 0, 2, None, [8, 9])
    assert marks("items") == [8, 9, 7] and marks("compare_and_swap", 0, 8, 5) is True
    marks.fails(manager.OVERFLOW, "set", 0, 40000)
    marks.fails(manager.OUT_OF_RANGE, "get", 3)

    money = open_object(client, "counter")
    books = [Object(stock.opened.token, "dict"), Object(money.opened.token, "counter")]
    stock("add", "tickets", 1)
    sell = [[0, "at_least", "tickets", 1], [0, "add", "tickets", -1], [1, "add", None, 5]]
    money("transact_all", books, sell)
    money.fails(manager.CONFLICT, "transact_all", books, sell)
    assert money("get") == 5
    seen = money("version")
    money("transact_all", books, [[1, "version", None, seen], [0, "set", "open", False]])
    money.fails(manager.INVALID, "transact_all", books, [[2, "add", None, 1]])

    log, names = open_object(client, "list"), open_object(client, "namespace")
    things = [Object(log.opened.token, "list"), Object(names.opened.token, "namespace"),
              Object(marks.opened.token, "array"), Object(stock.opened.token, "dict")]
    log("transact_all", things, [
        [0, "append", None, "b"], [0, "insert", 0, "a"], [0, "equal", -1, "b"],
        [1, "set", "user", "me"], [2, "add", 0, 1], [3, "expire", "open", 60000]])
    assert log("items") == ["a", "b"] and names("get", "user") == "me" and marks("get", 0) == 6
    assert 0 < stock("ttl", "open") <= 60000
    log("transact_all", things, [[3, "persist", "open"], [0, "delete", 0]])
    assert stock("ttl", "open") is None and log("items") == ["b"]
    log.fails(manager.CONFLICT, "transact_all", things, [[1, "delete", "user"], [0, "set", 1, 2]])
    log.fails(manager.OUT_OF_RANGE, "transact_all", things, [[2, "set", 3, 1]])
    log.fails(manager.INVALID, "transact_all", things, [[1, "set", 1, 1]])
    assert names("get", "user") == "me"


def test_waiting(path):
    one, other = greeted(path), greeted(path)
    mine, its = open_object(one, "lock", "door"), open_object(other, "lock", "door")
    fence = mine("acquire")
    mine.fails(manager.DEADLOCK, "acquire")
    its.fails(manager.WOULD_BLOCK, "acquire", timeout_ms=0)
    its.fails(manager.TIMEOUT, "acquire", timeout_ms=1)
    its.fails(manager.NOT_OWNER, "release")
    waiting = its.send("acquire")
    other.call("ping")  # who waits holds up nothing
    mine("release")
    assert call_for(other.receive(waiting)) == fence + 1
    # Taken back.
    waiting = mine.send("acquire")
    cancel = one.send("cancel", id=waiting)
    answers = {}
    for _ in range(2):
        (length,) = struct.unpack("<I", one.read(4))
        response = manager.Response.FromString(one.read(length))
        answers[response.id] = response
    assert answers[waiting].code == manager.CANCELLED and answers[cancel].count == 1
    # Who goes leaves its lock to the next one, who is told.
    other.socket.close()
    waiting = mine.send("acquire")
    (length,) = struct.unpack("<I", one.read(4))
    response = manager.Response.FromString(one.read(length))
    assert response.code == manager.OWNER_DIED and call_for(response) == fence + 2


def test_looking(path):
    client = greeted(path)
    lock = open_object(client, "lock", "looked.at", thread=7)
    lock("acquire")
    page = from_bytes(client.call("list_objects", prefix=b"looked.").value)
    assert [(o["class"], o["name"]) for o in page] == [("lock", "looked.at")]
    number = page[0]["number"]
    # A page of one: what comes last is where to go on.
    page = from_bytes(client.call("list_objects", max=1, after=number - 1).value)
    assert page[0]["number"] == number and page[1:] in ([], [number])
    holds = from_bytes(client.call("list_holds").value)
    assert [(h["number"], h["thread"], h["pid"]) for h in holds if h["number"] == number] == [
        (number, 7, os.getpid())]
    mine = [c for c in from_bytes(client.call("list_clients").value) if c["self"]]
    assert len(mine) == 1 and mine[0]["held"] == 1 and mine[0]["pid"] == os.getpid()
    assert "managerd_objects " in from_bytes(client.call("stats").value)

    begin = from_bytes(client.call("monitor").value)
    assert len(begin) == 1
    other = greeted(path)
    seen = from_bytes(client.call("monitor", after=begin[0], timeout_ms=10000).value)
    assert seen[0]["operation"] == "hello" and seen[-1] == seen[0]["number"]
    lock("release")
    client.call("unlink", name=b"looked.at")
    expect(manager.NOT_FOUND, client, "unlink", name=b"looked.at")
    other.call("ping")


def prove(client, key):
    """What stands in manager.proto above Auth."""
    first = b"MPCA\x01\x01\x01\x00" + os.urandom(32)
    second = client.call("auth", word=first).auth
    assert len(second) == 40 and second[:8] == b"MPCA\x01\x02\x01\x00", second
    third = b"MPCA\x01\x03\x00\x00" + hmac.digest(key, b"C" + first + second, hashlib.sha256)
    fourth = client.call("auth", word=third).auth
    assert fourth[:8] == b"MPCA\x01\x04\x00\x00", fourth
    proof = hmac.digest(key, b"L" + first + second + third, hashlib.sha256)
    assert hmac.compare_digest(proof, fourth[8:])


def ended(client):
    """The daemon has hung up."""
    try:
        client.read(1)
    except EOFError:
        return True
    return False


def test_key(path, key):
    client = Client(path)
    prove(client, key)
    client.call("hello", version=1)
    client.call("ping")
    expect(manager.INVALID, client, "auth", word=b"")
    client.call("ping")
    # Without a proof, with a wrong one, with what is none, and hello in the middle.
    client = Client(path)
    expect(manager.WRONG_KEY, client, "hello", version=1)
    assert ended(client)
    client = Client(path)
    try:
        prove(client, key + b"?")
    except Failure as failure:
        assert failure.args[0] == manager.WRONG_KEY
    else:
        raise AssertionError("a wrong key was good enough")
    assert ended(client)
    client = Client(path)
    expect(manager.VIOLATION, client, "auth", word=b"MPCA")
    assert ended(client)
    client = Client(path)
    client.call("auth", word=b"MPCA\x01\x01\x01\x00" + bytes(32))
    expect(manager.WRONG_KEY, client, "hello", version=1)
    assert ended(client)
    # What was said once is of no use again, and the daemon's own words are not.
    client = Client(path)
    first = b"MPCA\x01\x01\x01\x00" + bytes(32)
    assert client.call("auth", word=first).auth != Client(path).call("auth", word=first).auth
    expect(manager.VIOLATION, client, "auth", word=first)


def main(path):
    if len(sys.argv) > 3:
        test_key(path, sys.argv[3].encode())
        return
    test_containers(path)
    test_waiting(path)
    test_looking(path)
    test_dict(path)


def test_dict(path):
    client = Client(path)
    hello = client.call("hello", version=7, program="client.py").hello
    assert hello.version == 1 and hello.max_frame >= 4096 and hello.program
    client.call("ping")
    opened = client.call("open", type=manager.DICT, name="shared".encode()).opened
    assert opened.created and len(opened.token) == 16
    d = opened.reference

    samples = {
        1: "one", -1: -(1 << 63), 2: False, 1.5: float("-inf"), "text \u20ac": [1, [2, {}], None],
        b"\0\xff": b"", (1 << 64) - 1: {"k": {"k": (1 << 64) - 1}}, "": "x" * 70000,
    }
    for key, value in samples.items():
        client.call("dict_set", reference=d, key=to_bytes(key), value=to_bytes(value))
    for key, value in samples.items():
        got = client.call("dict_get", reference=d, key=to_bytes(key)).value
        assert from_bytes(got) == value, key
    assert client.call("dict_len", reference=d).count == len(samples)
    # True and 1 are one key in Python, and two here.
    client.call("dict_set", reference=d, key=to_bytes(True), value=to_bytes("bool"))
    assert client.call("dict_len", reference=d).count == len(samples) + 1

    # One key, whichever way it is written: as i64 and u64, -0.0 and 0.0, with a length of two bytes.
    for one, other in (
        (to_bytes(1), values.Value(u64=1).SerializeToString()),
        (to_bytes(0.0), to_bytes(-0.0)),
        (to_bytes("ab"), b"\x32\x82\x00ab"),
    ):
        client.call("dict_set", reference=d, key=one, value=to_bytes("same"))
        got = client.call("dict_get", reference=d, key=other).value
        assert from_bytes(got) == "same", other

    assert from_bytes(client.call("dict_pop", reference=d, key=to_bytes("ab")).value) == "same"
    assert not client.call("dict_contains", reference=d, key=to_bytes("ab")).count
    expect(manager.NOT_FOUND, client, "dict_pop", reference=d, key=to_bytes("ab"))
    client.call("dict_clear", reference=d)

    client.call("dict_update", reference=d, pairs=to_bytes({"a": 1, "b": [2], "c": {"d": 3}}))
    stored = client.call(
        "dict_setdefault", reference=d, key=to_bytes("a"), value=to_bytes(9)).stored
    assert from_bytes(stored.value) == 1 and not stored.inserted
    stored = client.call(
        "dict_setdefault", reference=d, key=to_bytes("e"), value=to_bytes(9)).stored
    assert from_bytes(stored.value) == 9 and stored.inserted
    part = manager.DictList
    listed = [from_bytes(client.call("dict_list", reference=d, part=which).value)
              for which in (part.KEYS, part.VALUES, part.ITEMS)]
    assert listed == [["a", "b", "c", "e"], [1, [2], {"d": 3}, 9],
                      {"a": 1, "b": [2], "c": {"d": 3}, "e": 9}], listed

    # The same object over another connection, by name and by token; references are of one alone.
    other = Client(path)
    other.call("hello", version=1)
    expect(manager.BAD_REFERENCE, other, "dict_len", reference=d)
    by_token = other.call("open", type=manager.DICT, token=opened.token).opened
    assert by_token.token == opened.token and not by_token.created
    assert other.call("dict_len", reference=by_token.reference).count == 4
    expect(manager.GONE, other, "open", type=manager.DICT, token=b"0123456789abcdef")

    # Errors, and the connection goes on.
    expect(manager.INVALID, client, "dict_get", reference=d, key=to_bytes([1]))
    expect(manager.BAD_VALUE, client, "dict_set", reference=d, key=to_bytes(1), value=b"\xff")
    expect(manager.UNSUPPORTED, client, "dict_set", reference=d, key=to_bytes(1),
           value=b"\x52\x04\x08\x01\x18\x01")
    expect(manager.BAD_TEXT, client, "open", type=manager.DICT, name=b"\xff")
    client.call("ping")

    # A thousand requests under way at once.
    numbers = [client.send("dict_set", reference=d, key=to_bytes(i), value=to_bytes(i * i))
               for i in range(1000)]
    for number in numbers:
        client.receive(number)
    assert client.call("dict_len", reference=d).count == 1004
    client.call("close", reference=d)
    expect(manager.BAD_REFERENCE, client, "dict_len", reference=d)

    # Not hello first: a last word with id 0, and the end.
    rude = Client(path)
    rude.send("ping")
    try:
        rude.receive(0)
    except Failure as failure:
        assert failure.args[0] == manager.VIOLATION
    try:
        rude.receive(0)
    except EOFError:
        return
    raise AssertionError("the connection goes on")


main(sys.argv[2])
