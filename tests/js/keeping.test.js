// Which widgets a saved notebook keeps.
import assert from "node:assert/strict";
import test from "node:test";

import { initialize, shownWidgets } from "../../autograd_viz/widgets/static/keeping.js";

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

test("a stored widget that ipywidgets gave up is shown again, and the notebook is as it was", async () => {
  const ids = ["given up", "drawn", "of a kernel", "not known"];
  /** @type {number[]} */
  const again = [];
  const outputs = {
    length: ids.length,
    get: (/** @type {number} */ place) => {
      const data = { [VIEW]: { model_id: ids[place] } };
      return { data, toJSON: () => ({ data }) };
    },
    set: (/** @type {number} */ place) => {
      again.push(place);
      notebook.dirty = true;
    },
  };
  const notebook = { dirty: false, cells: [{ outputs }, {}] };
  /** @type {Record<string, object>} */
  const models = { "given up": {}, drawn: { views: { one: 1 } }, "of a kernel": { comm_live: true } };
  const manager = {
    restoredStatus: true,
    context: { saveState: { connect() {} }, model: notebook },
    get_state_sync: () => ({ state: {} }),
    has_model: (/** @type {string} */ id) => id in models,
    get_model: async (/** @type {string} */ id) => models[id],
  };
  initialize({ model: { widget_manager: manager } });
  await new Promise((go) => setTimeout(go, 20));
  assert.deepEqual(again, [0]);
  assert.equal(notebook.dirty, false);
});
