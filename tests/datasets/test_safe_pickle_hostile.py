"""Pickles that would run, take or hide something are refused, by the name of what they ask for."""

import builtins
import io
import os
import pickle
import struct
import subprocess
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets.errors import FormatError
from tessera.datasets.safe_pickle import safe_loads

PROTOCOLS = range(6)
PARTS = [b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"(", b"t", b"R", b"b", b"cchumpy.ch\nCh\n", b")\x81", b"h\x00",
         b"q\x00", b"K\x01"]  # fmt: skip


class Evil:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def binunicode(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def array_state(shape, raw=b"\0" * 8, dtype=b"cnumpy\ndtype\n" + binunicode("f8") + b"\x89\x88\x87R"):
    """An array of pickle opcodes whose state is made by hand."""
    state = b"(K\x03" + binunicode("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    return made + b"(K\x01" + shape + dtype + state + b"\x89B" + struct.pack("<I", len(raw)) + raw + b"tb."


def long1(number):
    raw = number.to_bytes(9, "little", signed=True)
    return b"\x8a\x09" + raw


@pytest.mark.parametrize(
    "function",
    [os.system, builtins.eval, builtins.exec, builtins.getattr, builtins.__import__, builtins.open, np.load,
     np.fromfile, np.memmap, np.asarray, subprocess.Popen, io.FileIO, builtins.list, pickle.loads],
)  # fmt: skip
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_would_run_is_refused_by_name(tmp_path, function, protocol):
    made = tmp_path / "ran"
    argument = f"open({str(made)!r}, 'w')" if function is not os.system else f"touch {made}"
    data = pickle.dumps([1, Evil(function, argument)], protocol)
    name = function.__name__
    with pytest.raises(FormatError, match=rf"^fits/0000\.pkl: names \w+(\.\w+)*\.{name}, which is refused"):
        safe_loads(data, "fits/0000.pkl")
    assert not made.exists()


@pytest.mark.parametrize(
    "data, message",
    [
        # numpy's own functions, asked for more than an array
        (b"cnumpy.core.multiarray\n_reconstruct\n(cbuiltins\nobject\nK\x00\x85C\x01btR.", "array of another class"),
        (b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\nX\x02\0\0\0O8\x89\x88\x87RC\x08AAAAAAAAtR.", "'O8'; ref"),
        (b"cnumpy.core.multiarray\nscalar\n(NN\x85tR.", "without a dtype"),
        (b"cnumpy.core.multiarray\nscalar\n(NtR.", "scalar of objects"),
        (b"cnumpy.core.multiarray\nfromfile\n)R.", r"names numpy\._core\.multiarray\.fromfile"),
        (b"cnumpy\ndtype\n(cos\nsystem\ntR.", r"names os\.system"),
        (b"cnumpy\ndtype\n(X\x0c\x00\x00\x00f8,(100000,)tR.", "refused: numbers"),
        (b"cnumpy\ndtype\n(X\x02\x00\x00\x00f8tR.", "begun that is not ended"),
        (b"cnumpy\ndtype\n(X\x02\x00\x00\x00f3tR(K\x03X\x01\0\0\0<NNNJ\0\0\0\0J\0\0\0\0K\0tb.", "is none"),
        (b"cnumpy\ndtype\n(X\x02\x00\x00\x00U0tR(K\x03X\x01\0\0\0<NNNJ\0\0\0\0J\0\0\0\0K\0tb.", "no size"),
        (b"cnumpy\ndtype\n(X\x02\x00\x00\x00V8tR.", "'V8'; refused"),
        (b"cnumpy\nndarray\n(K\x09\x85tR.", r"calls numpy\.ndarray; refused"),
        (b"cnumpy\nndarray\n(K\x09\x85t\x81.", r"makes an object of numpy\.ndarray; refused"),
        # a dtype whose fields lie outside its elements
        (b"cnumpy\ndtype\n(X\x02\0\0\0f8tR(K\x03X\x01\0\0\0|N(X\x01\0\0\0at}K\x08K\x01K\x10tb.", "has fields or is d"),
        # states of what has none, and of the classes themselves
        (b"cbuiltins\nset\n)R}b.", "sets the state of a set; refused"),
        (b"}}b.", "sets the state of a dict; refused"),
        (b"cchumpy.ch\nCh\n}b.", "sets the state of a Named; refused"),
        (b"cchumpy.ch\nCh\nN}X\x08\0\0\0__call__K\x01s\x86b.", "sets the state of a Named; refused"),
        (b"cchumpy.ch\nCh\n(K\x01t\x81.", r"object of chumpy\.ch\.Ch; refused"),
        (b"cchumpy.ch\nCh\n)\x81(N}tb.", "no dictionary"),
        # other ways to an object
        (b"Pos.system\n.", "operation PERSID of a pickle; refused"),
        (b"K\x01Q.", "operation BINPERSID"),
        (b"\x82\x01.", "operation EXT1"), (b"\x83\x01\x00.", "operation EXT2"), (b"\x84\x01\0\0\0.", "operation EXT4"),
        (b"(ios\nsystem\n.", r"names os\.system"), (b"(ichumpy.ch\nCh\n.", r"object of chumpy\.ch\.Ch; refused"),
        (b"(cos\nsystem\no.", r"names os\.system"), (b"(cchumpy.ch\nCh\no.", "operation OBJ"),
        (b"\x8c\x02os\x8c\x06system\x93.", r"names os\.system"),
        (b"\x8c\x05numpy\x8c\x0cload.__doc__\x93.", r"names numpy\.load\.__doc__"),
        (b"K\x01\x8c\x06system\x93.", "a name that is no text"),
        (b"cchumpy.ch\nCh\n)}\x92.", "operation NEWOBJ_EX"), (b"\x97.", "operation NEXT_BUFFER"),
        (b"\xff.", "operation 0xff"), (b"\x8b\x04\0\0\0\1\1\1\1.", "operation LONG4"),
        (b"K\x01)R.", "calls something that is no function"), (b"cnumpy\ndtype\nK\x01R.", "calls something"),
        (b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\ncnumpy\nndarray\nNtR.", "derived from others"),
        (b"ccopy_reg\n_reconstructor\n(cbuiltins\nobject\ncbuiltins\nobject\nNtR.", r"object of builtins\.object"),
        # names and unfinished objects among the values
        (b"cnumpy\nndarray\n.", r"holds numpy\.ndarray itself"), (b"]cnumpy\ndtype\na.", r"holds numpy\.dtype itself"),
        (b"}K\x01(cnumpy\ndtype\nK\x01ts.", r"holds numpy\.dtype itself"),
        (b"cchumpy.ch\nCh\n)\x81.", "is not ended"), (b"]cchumpy.ch\nCh\n)\x81a.", "begun that is not ended"),
        (b"cchumpy.ch\nCh\n)\x81q\x00}X\x01\0\0\0xh\x00sb.", "not there yet"),
        (b"cchumpy.ch\nCh\n)\x812}b.", "not there yet"),
        # containers made of anything but lists, or keys that recurse
        (b"cbuiltins\nset\nK\x01\x85R.", "what is no list"), (b"cbuiltins\nbytes\nK\x01\x85R.", "bytes with arguments"),
        (b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "bytearray of other than bytes"),
        (b"ccollections\nOrderedDict\n]K\x01a\x85R.", "no pairs"), (b"cbuiltins\ncomplex\nK\x01\x85R.", "no two"),
        (b"c_codecs\nencode\nX\x01\0\0\0aX\x03\0\0\0hex\x86R.", "other than as latin1"),
        (b"})\x85\x85K\x01s.", "has a tuple as a key"), (b"}]K\x01s.", "has a list as a key"),
        (b"}(" + b"K\x01" * 40 + b"tK\x01s.", "has a tuple as a key"), (b"(]\x91.", "has a list as a key"),
        # the stack
        (b".", "not ended"), (b"0.", "nothing there"), (b"K\x01K\x02.", "not ended"), (b"(K\x01.", "not ended"),
        (b"t.", "no mark"), (b"K\x01(a.", "nothing there"), (b"](K\x01a.", "no container"), (b"q\0.", "to remember"),
        (b"h\0.", "not there yet"), (b"}K\x01(s.", "nothing there"), (b"}(K\x01u.", "damaged pickle"),
        (b"(}K\x01\x90.", "no container"), (b"I1_x\n.", "damaged pickle"), (b"L" + b"9" * 400 + b"L\n.", "without end"),
        (b"Sabc\n.", "without quotes"), (b"F1.5.2\n.", "damaged pickle"), (b"X\x01\0\0\0\xff.", "damaged pickle"),
    ],
)  # fmt: skip
def test_tricks_are_refused(data, message):
    with pytest.raises(FormatError, match=message):
        safe_loads(data)


@pytest.mark.parametrize(
    "shape",
    [b"K\x02\x85", long1(-1) + b"\x85", long1(1 << 61) + b"\x85", long1(1 << 62) + b"K\x04\x86", b"N", b"K\x01",
     b"K\x00" + long1(1 << 62) + b"\x86", b"K\x01" * 33, b"\x88\x85", b"G\x3f\xf0\0\0\0\0\0\0\x85"],
)  # fmt: skip
def test_shapes_that_do_not_fit_the_bytes_are_refused(shape):
    assert safe_loads(array_state(b"K\x01\x85")).tolist() == [0]
    with pytest.raises(FormatError, match="numpy array"):
        safe_loads(array_state(b"(" + shape + b"t" if shape == b"K\x01" * 33 else shape))


def test_arrays_of_objects_and_of_what_is_no_text_or_truth_are_refused():
    for protocol in PROTOCOLS:
        with pytest.raises(FormatError, match="refused"):
            safe_loads(pickle.dumps(np.array([1, "a", None], object), protocol))
    for kind in ("b1", "U2"):
        dtype = b"cnumpy\ndtype\n" + binunicode(kind) + b"\x89\x88\x87R"
        with pytest.raises(FormatError, match="holds what is none"):
            safe_loads(array_state(b"K\x08\x85" if kind == "b1" else b"K\x01\x85", b"\xff" * 8, dtype))


@pytest.mark.parametrize("text", [np.zeros(3, "M8[s]"), np.zeros(2, [("a", "f4")]), np.array(["a"], "O")])
def test_other_dtypes_are_refused(text):
    with pytest.raises(FormatError, match="refused"):
        safe_loads(pickle.dumps(text))


@pytest.mark.parametrize(
    "data",
    [
        b"B\xff\xff\xff\x7f.", b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", b"\x96\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"T\xff\xff\xff\xff.", b"X\xff\xff\xff\xff.", b"\x8d\x00\x00\x00\x00\x00\x00\x00\x80.", b"\x8a\xff.",
        b"\x95\xff\xff\xff\xff\xff\xff\xff\x7fK\x01", b"K\x01r\xff\xff\xff\x7f", b"", b"(" * 1000, b"V" + b"x" * 99,
    ],
)  # fmt: skip
def test_sizes_that_are_only_claimed_take_no_memory(data):
    tracemalloc.start()
    with pytest.raises(FormatError):
        safe_loads(data)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_remembered_place_far_away_takes_no_memory():
    tracemalloc.start()
    assert safe_loads(b"K\x01r\xff\xff\xff\x7f.") == 1
    assert tracemalloc.get_traced_memory()[1] < 1 << 16
    tracemalloc.stop()


def test_bytes_that_are_remembered_are_not_copied_for_ever():
    dtype = b"cnumpy\ndtype\n" + binunicode("u1") + b"\x89\x88\x87R(K\x03" + binunicode("|") + b"NNNK\x00K\x00K\x00tb"
    call = b"cnumpy.core.numeric\n_frombuffer\n(h\x01h\x02J\x00\x00\x10\x00\x85X\x01\0\0\0CtRa"
    data = b"]B\x00\x00\x10\x00" + b"\0" * (1 << 20) + b"q\x010" + dtype + b"q\x020" + call * 2000 + b"."
    with pytest.raises(FormatError, match="makes more bytes than it has"):
        safe_loads(data)
    text = (
        b"]X\x00\x00\x10\x00" + b"a" * (1 << 20) + b"q\x010" + (b"c_codecs\nencode\nh\x01X\x06\0\0\0latin1\x86Ra") * 99
    )
    with pytest.raises(FormatError, match="makes more bytes than it has"):
        safe_loads(text + b".")
    many = b"](" + b"K\x01" * 10000 + b"lq\x01" + b"acbuiltins\nset\nh\x01\x85R" * 500 + b"a."
    with pytest.raises(FormatError, match="makes more bytes than it has"):
        safe_loads(many)


def test_lists_that_unfold_without_end_are_refused():
    bomb = b"]" + b"".join(b"q%c0](" % i + b"h%c" % i * 10 + b"e" for i in range(30)) + b"."
    with pytest.raises(FormatError, match="unfolds to very many values"):
        safe_loads(bomb)
    with pytest.raises(FormatError, match="a container holds itself"):
        safe_loads(b"]q\x00h\x00a.")
    with pytest.raises(FormatError, match="a container holds itself"):
        safe_loads(b"}q\x00K\x01](h\x00es.")


@pytest.mark.parametrize("depth", [101, 200_000])
@pytest.mark.parametrize("inner, outer", [(b"]", b"a"), (b")", b"\x85"), (b"}K\x01", b"s")])
def test_containers_that_are_nested_without_end_are_refused(depth, inner, outer):
    data = inner + outer * depth if outer == b"\x85" else inner * depth + b"]" + outer * depth
    with pytest.raises(FormatError, match="containers in each other"):
        safe_loads(data + b".")


def test_more_operations_than_any_data_set_needs_are_refused():
    with pytest.raises(FormatError, match="more than 5000000 operations"):
        safe_loads(b"N" + b"20" * 2_500_001 + b".")


@settings(max_examples=300)
@given(st.data())
def test_damaged_pickles_cost_an_error_and_nothing_else(data):
    """Whatever bytes change, there is a plain value or a FormatError."""
    value = {"a": np.arange(6.0).reshape(2, 3), "b": [1, "x", (None, True)], "c": np.float32(2), "d": {1, 2}}
    raw = bytearray(pickle.dumps(value, data.draw(st.sampled_from(PROTOCOLS))))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        safe_loads(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    except FormatError as error:
        assert str(error).startswith("pickle: ")


@settings(max_examples=300)
@given(st.lists(st.sampled_from([bytes([i]) for i in range(256)] + PARTS * 8), max_size=40))
def test_any_bytes_cost_an_error_and_nothing_else(parts):
    try:
        safe_loads(b"".join(parts) + b".")
    except FormatError as error:
        assert str(error).startswith("pickle: ")
