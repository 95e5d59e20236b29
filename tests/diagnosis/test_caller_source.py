"""Reading the caller's statements: order, places, and what cannot be read."""

import linecache
import sys

import torch

from autograd_viz.diagnosis import caller_source
from autograd_viz.diagnosis.caller_source import OUTPUT


def read():
    """The source of the caller."""
    return caller_source.read(sys._getframe(1))


def why(*arguments, **options):  # so called because the reader of sources looks for that name
    return caller_source.read(sys._getframe(1))


def test_statements_before_the_call_in_order():
    a = 1
    b, c = a, a + 1
    if a:
        b += 1
    for d in range(2):
        c = d
    with torch.no_grad():
        e = c
    source = why(a, b)
    assert source is not None
    assert [sorted(each.binds) for each in source.statements] == [
        ["a"], ["b"], ["c"], ["b"], ["d"], ["c"], ["e"], [OUTPUT],
    ]  # fmt: skip
    assert [each.sure for each in source.statements] == [True] * 3 + [
        False,
        True,
        False,
        True,
        True,
    ]
    assert [each.keeps for each in source.statements].count(True) == 1
    assert source.statements[5].repeats
    assert source.statements[6].no_grad == "torch.no_grad()"
    assert source.statements[0].text == "a = 1"
    line = test_statements_before_the_call_in_order.__code__.co_firstlineno + 1
    assert source.statements[0].where == f"line {line}"
    assert source.arguments == ("a", "b")
    del e


def test_the_call_by_its_place_among_several():
    x = y = z = 1
    sources = [why(x, y), why(y, output=z), why(x), why(*[x, y])]
    assert [source.arguments for source in sources] == [("x", "y"), ("y", "z"), ("x",), ()]


def test_functions_of_the_file_and_their_decorators():
    source = why(1)
    assert source.functions["cut"].parameters == ("v", "w")
    assert source.functions["cut"].no_grad.text == "@torch.no_grad()"
    assert source.functions["read"].no_grad is None


@torch.no_grad()
def cut(v, w):
    return v * w


def test_a_cell_is_read_whatever_ipython_calls_it():
    """IPython 8 runs a cell as <module>, IPython 7 under the number of its first line."""
    cell = "z = y\nfound = why(z)\n"
    linecache.cache["<a cell>"] = (len(cell), None, cell.splitlines(keepends=True), "<a cell>")
    code = compile(cell, "<a cell>", "exec")
    scope = {"why": why, "y": 1, "get_ipython": None, "In": ["", "y = 1", cell]}
    for name in ("<module>", "<cell line: 1>"):
        exec(code.replace(co_name=name), scope)
        places = [each.where for each in scope["found"].statements]
        assert places == ["In[1], line 1", "In[2], line 1"]


def test_what_cannot_be_read_is_none():
    scope = {"read": read}
    exec("found = read()", scope)
    assert scope["found"] is None
    assert (lambda: read())() is None
    assert caller_source.read(None) is None


def test_a_file_that_changed_is_not_read(tmp_path):
    path = tmp_path / "changed.py"
    text = "a = 1\nb = 2\nfound = why(a, b)\n"
    path.write_text("# one line more\n" + text, encoding="utf-8")
    scope = {"why": why}
    exec(compile(text, str(path), "exec"), scope)
    assert scope["found"] is None


def test_long_statements_are_shortened():
    a = "a text that is long and longer and that goes on and on until it is cut off at some point"
    (statement,) = why(a).statements
    assert len(statement.text) == caller_source.LONGEST
    assert statement.text.endswith("…")
