"""The outputs of a cell: which of them mean the same, and what is said where they do not."""

import base64

from nbformat.v4 import new_output

from tests.notebooks.outputs import differences

SVG = '<svg><g class="av-box" data-node="1"><text x="10" y="20">e = 15</text></g></svg>'


def figure(words="e = 15", svg=SVG, inner=SVG, alt="e = 15"):
    encoded = base64.b64encode(inner.encode()).decode()
    html = f'<img src="data:image/svg+xml;base64,{encoded}" alt="{alt}">'
    return new_output(
        "execute_result", {"text/plain": words, "image/svg+xml": svg, "text/html": html}
    )


def printed(text, name="stdout"):
    return new_output("stream", text=text, name=name)


def test_equal_outputs_have_no_difference():
    outputs = [printed("1\n"), figure(), new_output("error", ename="ValueError", evalue="no")]
    assert differences(outputs, outputs) == []


def test_each_part_of_a_figure_is_compared():
    elsewhere = SVG.replace("10", "12")
    assert differences([figure()], [figure(words="e = 16")]) == [
        "output 1, text/plain: “16” instead of “15” in “e = 15”"
    ]
    moved = "text “e = 15”: x is 12 instead of 10"
    assert differences([figure()], [figure(svg=elsewhere)]) == [f"output 1, image/svg+xml: {moved}"]
    assert differences([figure()], [figure(inner=elsewhere)]) == [
        f"output 1, text/html: <img src>: {moved}"
    ]
    assert differences([figure()], [figure(alt="d = 15")]) == [
        "output 1, text/html: <img alt>: “d” instead of “e” in “e = 15”"
    ]
    assert differences([figure()], [figure(svg=SVG.replace("10", "10.1"))]) == []


def test_html_is_compared_tag_by_tag():
    def shown(html):
        return new_output("display_data", {"text/html": html, "text/plain": "."})

    old = shown('<div style="color: #aa0000"><b>2.5</b> solved</div>')
    for was, now in (("aa0000", "aa0001"), ("2.5", "2.6"), ("solved", "open"), ("b>", "i>")):
        assert differences([old], [shown(old.data["text/html"].replace(was, now))]), was
    assert differences([old], [shown(old.data["text/html"] + "<p>")])
    assert differences([old], [shown(old.data["text/html"].replace("2.5", "2.501"))]) == []


def test_how_a_stream_is_cut_up_says_nothing():
    pieces = [printed("1\n"), printed("!", "stderr"), printed("2\n")]
    assert differences([printed("1\n2\n"), printed("!", "stderr")], pieces) == []
    assert differences([printed("1\n2\n")], pieces) == ["stderr: not there before"]


def test_a_lost_output_and_a_new_one_are_found():
    assert differences([printed("1")], []) == ["stdout: no longer there"]
    assert differences([], [figure()]) != []
    assert differences([figure()], [figure(), figure()]) != []
    error = new_output("error", ename="ValueError", evalue="no")
    assert differences([error], [new_output("error", ename="TypeError", evalue="no")]) == [
        "error 1: “TypeError” instead of “ValueError” in “ValueError: no”"
    ]
