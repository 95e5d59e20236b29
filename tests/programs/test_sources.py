"""From an instruction to its statement and expression, for all that Python can write."""

import ast
import dis
import linecache

from autograd_viz.programs.sources import source_of


def of(text, name="f"):
    """The source of the function that a text defines."""
    filename = f"<source {abs(hash(text))}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    scope: dict[str, object] = {}
    exec(compile(text, filename, "exec"), scope)
    source = source_of(scope[name].__code__)  # type: ignore[attr-defined]
    assert source is not None
    return source


def statements(source):
    """The statements of all instructions, in order, each once."""
    found = [source.statement_at(i.offset) for i in dis.get_instructions(source.code)]
    return list(dict.fromkeys(each for each in found if each is not None))


def bindings(source):
    return {
        each.text: [
            (b.name, b.value and source.template(b.value).text, b.item) for b in each.bindings
        ]
        for each in statements(source)
    }


def test_the_expression_of_an_instruction():
    source = of("def f(x, y):\n    z = g(x * y) + x.T\n    z += x\n    return -z\n")
    found = [source.expression_at(i.offset) for i in dis.get_instructions(source.code)]
    texts = list(dict.fromkeys(ast.unparse(each) for each in found if each is not None))
    assert texts == ["x * y", "g(x * y)", "x.T", "g(x * y) + x.T", "z + x", "-z"]


def test_a_straight_function_runs_each_statement_once():
    straight = "def f(x):\n    'text'\n    y = x\n    z = y\n    return z\n"
    assert [each.text for each in of(straight).straight] == ["y = x", "z = y", "return z"]
    for change in ("    y = 3\n", "    x = 3\n", "    y += 1\n", "    if x: pass\n", "    del y\n"):
        assert of(straight.replace("    return", change + "    return")).straight == ()
    assert of(straight.replace("z = y", "z = (w := y)")).straight != ()
    assert of(straight.replace("z = y", "z = (y := 3)")).straight == ()


def test_lines_decorators_and_methods():
    source = of(
        "def d(g): return g\n"
        "class C:\n"
        "    @d\n"
        "    def f(self, x):  # here\n"
        "        return x\n"
        "f = C.f\n"
    )
    assert source.first_line == 3
    assert source.lines == ("    @d", "    def f(self, x):  # here", "        return x")


def test_lambdas_of_one_line_are_told_apart():
    text = "f, g = lambda x: x * 2, lambda x: x * 3\n"
    assert [statements(of(text, name))[0].text for name in "fg"] == [
        "lambda x: x * 2",
        "lambda x: x * 3",
    ]


def test_names_with_letters_of_several_bytes():
    source = of("def f(β, δ):\n    ŷ = β * δ; ü = ŷ\n    return ü\n")
    assert bindings(source) == {
        "ŷ = β * δ": [("ŷ", "β * δ", None)],
        "ü = ŷ": [("ü", "ŷ", None)],
        "return ü": [],
    }
    assert source.words(source.node.body[0].value) == {"β", "δ"}


def test_a_text_that_is_not_the_codes_is_not_read():
    text = "def f(x):\n    return x * 2\n"
    scope: dict[str, object] = {}
    exec(compile(text, "<another>", "exec"), scope)
    code = scope["f"].__code__  # type: ignore[attr-defined]
    for lines in (["def f(x):\n", "    return x * 3\n"], ["def f(x:\n"], [], ["\0"]):
        linecache.cache["<another>"] = (1, None, lines, "<another>")
        copy = code.replace(co_filename="<another>")
        assert source_of(copy) is None


def test_a_function_with_an_assert_is_read_though_pytest_rewrites_it():
    def checked(x):
        y = x * 2
        assert y > 0
        return y

    source = source_of(checked.__code__)
    assert source is not None
    assert [each.text for each in statements(source)] == ["y = x * 2", "assert y > 0", "return y"]


def test_a_builtin_module_has_no_text():
    assert source_of(compile("x = 1", "<string>", "exec")) is None
