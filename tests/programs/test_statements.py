"""Statements: their text and what they bind."""

from tests.programs.test_sources import bindings, of, statements


def test_statements_and_what_they_bind():
    source = of(
        "def f(x, n=2):\n"
        "    a, b = x * 2, x + 1\n"
        "    p, q = g(x)\n"
        "    c = d = a\n"
        "    c += b or a\n"
        "    e: int = 3\n"
        "    u.v = h[0] = c\n"
        "    (r, *s), t = g(x)\n"
        "    return c\n"
    )
    assert bindings(source) == {
        "a, b = x * 2, x + 1": [("a", "x * 2", None), ("b", "x + 1", None)],
        "p, q = g(x)": [("p", "g(x)", 0), ("q", "g(x)", 1)],
        "c = d = a": [("c", "a", None), ("d", "a", None)],
        "c += b or a": [("c", "c + (b or a)", None)],
        "e: int = 3": [("e", "3", None)],
        "u.v = h[0] = c": [],
        "(r, *s), t = g(x)": [("r", None, None), ("s", None, None), ("t", "g(x)", 1)],
        "return c": [],
    }


def test_compound_statements_are_their_heads():
    source = of(
        "def f(x):\n"
        "    for i, (j, k) in g(x):\n"
        "        if (m := i) > 1: y = 3; z = 4\n"
        "    while (\n"
        "        x > 1  # so far\n"
        "        and y\n"
        "    ):\n"
        "        x = g(\n"
        "            x,  # this one\n"
        "        )\n"
        "    with g() as h:\n"
        "        def inner(q):\n"
        "            secret = 3\n"
        "            return secret\n"
        "    try:\n"
        "        y = 1\n"
        "    except E as e:\n"
        "        y = 2\n"
        "    return y\n"
    )
    found = sorted(statements(source), key=lambda each: (each.line, each.node.col_offset))
    assert [each.text for each in found if not each.is_silent] == [
        "for i, (j, k) in g(x):",
        "if (m := i) > 1:",
        "y = 3",
        "z = 4",
        "while ( x > 1 and y ):",
        "x = g(x)",
        "with g() as h:",
        "def inner(q):",
        "y = 1",
        "y = 2",
        "return y",
    ]
    assert source.crowded
    assert source.straight == ()
    assert bindings(source)["if (m := i) > 1:"] == [("m", "i", None)]


def test_a_head_ends_before_what_its_body_begins_with():
    source = of(
        "def f(x, mode):\n"
        "    class Sq:\n"
        "        @staticmethod\n"
        "        def of(x):\n"
        "            return x * x\n"
        "    match mode:\n"
        "        case 'mul':\n"
        "            y = Sq.of(x)\n"
        "    async def late():\n"
        "        @Sq.of\n"
        "        def g(): pass\n"
        "    return y\n"
    )
    heads = {each.text for each in statements(source)}
    assert {"class Sq:", "match mode:", "async def late():"} <= heads
