// Which widgets a saved notebook keeps.
import assert from "node:assert/strict";
import test from "node:test";

import { shownWidgets } from "../../autograd_viz/widgets/static/keeping.js";

const VIEW = "application/vnd.jupyter.widget-view+json";
const widget = (/** @type {Record<string, unknown>} */ state = {}) => ({
  model_name: "AnyModel",
  model_module: "anywidget",
  model_module_version: "1",
  state,
});
const cell = (/** @type {string[]} */ ...ids) => ({
  outputs: ids.map((model_id) => ({ data: { [VIEW]: { model_id } } })),
});

test("what no output shows is not kept", () => {
  const found = shownWidgets([cell("a")], { a: widget(), b: widget() });
  assert.deepEqual(Object.keys(found), ["a"]);
});

test("what a shown one is made of is kept, however deep, and each once", () => {
  const widgets = {
    box: widget({ children: ["IPY_MODEL_row", "IPY_MODEL_row"], layout: "IPY_MODEL_size" }),
    row: widget({ children: ["IPY_MODEL_box", "anywidget:other"] }), // a circle ends
    size: widget(),
    other: widget(),
    apart: widget(),
  };
  const found = shownWidgets([{ outputs: [] }, cell("box")], widgets);
  assert.deepEqual(Object.keys(found).sort(), ["box", "other", "row", "size"]);
});

test("an output whose widget is not known, a text, and a cell of text change nothing", () => {
  const cells = [cell("gone"), { outputs: [{ text: "3" }] }, { source: "# title" }];
  assert.deepEqual(shownWidgets(cells, { a: widget() }), {});
});
