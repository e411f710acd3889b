"""Pickles of strangers, read without running anything: every operation of the format, carried out on plain data.

Python's own unpickler calls what the file names, sets attributes of what that gives, and takes memory for sizes that
the file only claims. Here nothing is imported and nothing called: names are compared with a short list, and what they
stand for is made by pickle_values.py. Protocols 0 to 5, with texts of Python 2 as latin-1.
"""

import codecs
import struct
from collections import OrderedDict
from collections.abc import Callable
from pickletools import opcodes
from typing import Any

import numpy as np

from .errors import FormatError
from .pickle_values import Budget, Named, Unbuilt, build, call, hashable, known, new
from .sparse_matrix import SparseMatrix

MOST_OPERATIONS = 5_000_000
MOST_DEPTH = 100  # of containers in containers
MOST_UNFOLDED = 50_000_000  # values, those that are shared counted each time
LONGEST_LINE, LONGEST_NUMBER = 1 << 31, 256  # bytes
FAULTS = (ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError, MemoryError, struct.error)
LEAVES = frozenset({int, float, complex, bool, str, bytes, bytearray, type(None), np.ndarray, SparseMatrix})
NAMES = {ord(operation.code): operation.name for operation in opcodes}
DICTS = (dict, OrderedDict)
CONTAINERS = (list, tuple, set, frozenset, *DICTS)


def safe_loads(data: bytes, source: str = "pickle") -> Any:
    """The value of a pickle that may come from anybody.

    Args:
        data: the file. What follows the end of the pickle is left alone.
        source: what the file is called in messages, e.g. its path.

    Returns:
        Plain containers and values, numpy arrays (new, writable, in the machine's byte order) and numpy scalars;
        a trimesh TrackedArray and a chumpy variable as arrays, a scipy.sparse matrix as `SparseMatrix`.

    Raises:
        FormatError: it names anything else, is damaged or truncated, holds arrays of objects, makes more of itself
            than it has, or nests or refers to itself too much; the message names `source`, and the class where one is
            refused. Nothing was run.
    """
    try:
        value = _Machine(data).run()
        _check(value)
    except FormatError as error:
        raise FormatError(f"{source}: {error}") from None
    except FAULTS as error:
        raise FormatError(f"{source}: damaged pickle ({type(error).__name__}: {str(error)[:200]})") from error
    return value


class _Machine:
    """The stack, its marks and the memory of one pickle; `op_name` carries out the operation NAME of pickletools."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memory: dict[int, Any] = {}
        self.unbuilt = 0
        self.budget = Budget(4 * len(data) + 4096)  # of what is encoded, then copied into arrays, once each

    def run(self) -> Any:
        """Carry out the pickle; returns its value."""
        for _ in range(MOST_OPERATIONS):
            if self.at >= len(self.data):
                raise FormatError("truncated pickle")
            code = self.data[self.at]
            self.at += 1
            if code == 0x2E:  # STOP
                if self.unbuilt or self.marks or len(self.stack) != 1:
                    raise FormatError("damaged pickle: something was begun that is not ended")
                return self.stack[0]
            operation = OPERATIONS.get(code)
            if operation is None:
                raise FormatError(f"operation {NAMES.get(code, hex(code))} of a pickle; refused")
            operation(self)
        raise FormatError(f"pickle of more than {MOST_OPERATIONS} operations; refused")

    def take(self, size: int) -> bytes:
        """The next bytes; never more than there are."""
        end = self.at + size
        if size < 0 or end > len(self.data):
            raise FormatError("truncated pickle")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def line(self) -> bytes:
        """The bytes up to the end of a line."""
        end = self.data.find(b"\n", self.at, self.at + LONGEST_LINE)
        if end < 0:
            raise FormatError("truncated pickle")
        return self.take(end + 1 - self.at)[:-1]

    def number(self, form: str) -> Any:
        """The next number, by the letter of struct."""
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def pop(self) -> Any:
        """Take what is on top, above the last mark."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise FormatError("damaged pickle: nothing there to take")
        return self.stack.pop()

    def top(self, kinds: tuple[type, ...]) -> Any:
        """What is on top, which must be of these kinds."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0) or type(self.stack[-1]) not in kinds:
            raise FormatError("damaged pickle: no container to fill, or one of a class that is refused")
        return self.stack[-1]

    def since_mark(self) -> list[Any]:
        """Take all above the last mark, and the mark."""
        if not self.marks:
            raise FormatError("damaged pickle: no mark")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def push(self, value: Any) -> None:
        """Put on top."""
        self.unbuilt += isinstance(value, Unbuilt)
        self.stack.append(value)

    def put(self, place: int) -> None:
        """Remember what is on top."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise FormatError("damaged pickle: nothing there to remember")
        self.memory[place] = self.stack[-1]
        if isinstance(self.stack[-1], Unbuilt):
            self.stack[-1].places.append(place)

    def get(self, place: int) -> None:
        """Put on top what was remembered; an object without its state would be one that holds itself."""
        if place not in self.memory or isinstance(self.memory[place], Unbuilt):
            raise FormatError("damaged pickle: refers to what is not there yet")
        self.stack.append(self.memory[place])

    def op_mark(self) -> None:
        self.marks.append(len(self.stack))

    def op_pop(self) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.pop()

    def op_pop_mark(self) -> None:
        self.since_mark()

    def op_dup(self) -> None:
        value = self.pop()
        if isinstance(value, Unbuilt):
            raise FormatError("damaged pickle: refers to what is not there yet")
        self.stack += [value, value]

    def op_proto(self) -> None:
        self.take(1)

    def op_frame(self) -> None:
        self.take(8)

    def op_int(self) -> None:
        text = self.line()
        self.push({b"00": False, b"01": True}[text] if text in (b"00", b"01") else _integer(text))

    def op_long(self) -> None:
        self.push(_integer(self.line().removesuffix(b"L")))

    def op_long1(self) -> None:
        self.push(int.from_bytes(self.take(self.number("B")), "little", signed=True))

    def op_float(self) -> None:
        self.push(float(self.line()[:LONGEST_NUMBER]))

    def op_binfloat(self) -> None:
        self.push(struct.unpack(">d", self.take(8))[0])

    def op_string(self) -> None:
        text = self.line()
        if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
            raise FormatError("damaged pickle: a text without quotes")
        self.push(codecs.escape_decode(text[1:-1])[0].decode("latin-1"))

    def op_unicode(self) -> None:
        self.push(self.line().decode("raw-unicode-escape"))

    def op_empty_tuple(self) -> None:
        self.push(())

    def op_tuple(self) -> None:
        self.push(tuple(self.since_mark()))

    def op_list(self) -> None:
        self.push(self.since_mark())

    def op_dict(self) -> None:
        items = self.since_mark()
        self.push(_fill({}, items))

    def op_frozenset(self) -> None:
        self.push(frozenset(map(hashable, self.since_mark())))

    def op_append(self) -> None:
        value = self.pop()
        self.top((list,)).append(value)

    def op_appends(self) -> None:
        values = self.since_mark()
        self.top((list,)).extend(values)

    def op_additems(self) -> None:
        values = self.since_mark()
        self.top((set,)).update(map(hashable, values))

    def op_setitem(self) -> None:
        value, key = self.pop(), self.pop()
        _fill(self.top(DICTS), [key, value])

    def op_setitems(self) -> None:
        items = self.since_mark()
        _fill(self.top(DICTS), items)

    def op_put(self) -> None:
        self.put(_integer(self.line()))

    def op_get(self) -> None:
        self.get(_integer(self.line()))

    def op_memoize(self) -> None:
        self.put(len(self.memory))

    def op_global(self) -> None:
        module, name = self.line().decode(), self.line().decode()
        self.push(known(module, name))

    def op_stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise FormatError("damaged pickle: a name that is no text")
        self.push(known(module, name))

    def op_inst(self) -> None:
        raise FormatError(f"makes an object of {known(self.line().decode(), self.line().decode()).name}; refused")

    def op_reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        self.push(call(function, arguments, self.budget))

    def op_newobj(self) -> None:
        arguments, kind = self.pop(), self.pop()
        self.push(new(kind, arguments))

    def op_build(self) -> None:
        state, thing = self.pop(), self.pop()
        value = build(thing, state, self.budget)
        self.unbuilt -= 1
        for place in thing.places:
            if self.memory[place] is thing:
                self.memory[place] = value
        self.push(value)


def _integer(text: bytes) -> int:
    if len(text) > LONGEST_NUMBER:
        raise FormatError("damaged pickle: a number without end")
    return int(text)


def _fill(into: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    """Put keys and values, one after the other, into a dictionary."""
    for key, value in zip(items[::2], items[1::2], strict=True):
        into[hashable(key)] = value
    return into


def _values(make: Callable[[], Any]) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(make())


def _numbers(form: str) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(machine.number(form))


def _counted(form: str, convert: Callable[[bytes], Any]) -> Callable[[_Machine], None]:
    """Bytes after their count."""
    return lambda machine: machine.push(convert(machine.take(machine.number(form))))


def _tuples(size: int) -> Callable[[_Machine], None]:
    def operation(machine: _Machine) -> None:
        machine.push(tuple([machine.pop() for _ in range(size)][::-1]))

    return operation


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")


def _latin(raw: bytes) -> str:
    return raw.decode("latin-1")


def _operations() -> dict[int, Callable[[_Machine], None]]:
    """Every operation that is carried out, by its code: no persistent ids, extension codes or buffers from outside."""
    simple: dict[str, Callable[[_Machine], None]] = {
        "NONE": _values(lambda: None), "NEWTRUE": _values(lambda: True), "NEWFALSE": _values(lambda: False),
        "EMPTY_LIST": _values(list), "EMPTY_DICT": _values(dict), "EMPTY_SET": _values(set),
        "BININT": _numbers("i"), "BININT1": _numbers("B"), "BININT2": _numbers("H"),
        "BINSTRING": _counted("i", _latin), "SHORT_BINSTRING": _counted("B", _latin),
        "BINUNICODE": _counted("I", _text), "SHORT_BINUNICODE": _counted("B", _text),
        "BINUNICODE8": _counted("Q", _text), "BINBYTES": _counted("I", bytes), "SHORT_BINBYTES": _counted("B", bytes),
        "BINBYTES8": _counted("Q", bytes), "BYTEARRAY8": _counted("Q", bytearray),
        "TUPLE1": _tuples(1), "TUPLE2": _tuples(2), "TUPLE3": _tuples(3),
        "BINPUT": lambda m: m.put(m.number("B")), "LONG_BINPUT": lambda m: m.put(m.number("I")),
        "BINGET": lambda m: m.get(m.number("B")), "LONG_BINGET": lambda m: m.get(m.number("I")),
    }  # fmt: skip
    found = {code: simple.get(name, getattr(_Machine, f"op_{name.lower()}", None)) for code, name in NAMES.items()}
    return {code: operation for code, operation in found.items() if operation is not None}


OPERATIONS = _operations()


def _check(value: Any) -> None:
    """Refuse a value with anything but plain data in it, that holds itself, or that unfolds to very many values."""
    sizes: dict[int, int] = {}  # of containers that are done: values in them
    opened: set[int] = set()  # containers that hold the one at hand
    todo: list[tuple[Any, list[Any] | None]] = [(value, None)]
    while todo:
        node, inner = todo.pop()
        if inner is not None:
            opened.remove(id(node))
            sizes[id(node)] = len(node) + sum(sizes[id(child)] for child in inner)
            if sizes[id(node)] > MOST_UNFOLDED:
                raise FormatError("unfolds to very many values, a few of them shared; refused")
        elif id(node) in opened:
            raise FormatError("a container holds itself; refused")
        elif id(node) not in sizes:
            inner = _inner(node)
            if type(node) not in CONTAINERS:
                continue
            opened.add(id(node))
            if len(opened) > MOST_DEPTH:
                raise FormatError(f"more than {MOST_DEPTH} containers in each other; refused")
            todo.append((node, inner))
            todo.extend((child, None) for child in inner)


def _inner(node: Any) -> list[Any]:
    """The containers in a container; what a pickle only named, or left without its state, is no value.

    What else there can be is plain data, because nothing else is ever made.
    """
    items = list(node.values()) if type(node) in DICTS else list(node) if type(node) in CONTAINERS else [node]
    odd = [item for item in items if type(item) not in LEAVES]
    for item in odd:
        if isinstance(item, Named | Unbuilt):
            raise FormatError(f"holds {item.name} itself, not a value of it; refused")
    return [item for item in odd if type(item) in CONTAINERS]
