// The pure functions of the Explorer's front end.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  answered,
  boxOf,
  countOf,
  filled,
  fitting,
  frameAt,
  frameOf,
  inputsOf,
  keyAction,
  keyOf,
  lost,
  moved,
  nearest,
  newQueue,
  onGrid,
  parsed,
  positionOf,
  shown,
  snapped,
  sought,
  staticModel,
  stepAfter,
  tickOf,
  unpacked,
  valueAt,
  widthOf,
  withNumbers,
  wrong,
} from "../../autograd_viz/widgets/static/explorer.js";

const a = { name: "a", kind: "slider", min: 0.5, max: 8, step: 0.1, value: 2 };
const base = { name: "base", kind: "choice", options: ["e", 2, 10], value: 2 };
const on = { name: "on", kind: "checkbox", value: false };
const controls = [a, base, on];

test("a slider has all of its positions, in spite of rounding", () => {
  assert.equal(countOf(a), 76);
  assert.equal(countOf({ ...a, min: 0, max: 0.3, step: 0.1 }), 4);
  assert.equal(countOf({ ...a, min: 0, max: 0.35, step: 0.1 }), 4);
  assert.equal(countOf(base), 3);
  assert.equal(countOf(on), 2);
});

test("values are short decimals, as a reader would type them", () => {
  assert.equal(valueAt({ ...a, min: 0 }, 3), 0.3);
  assert.equal(valueAt(a, 75), 8);
  assert.equal(valueAt(base, 0), "e");
  assert.equal(valueAt(on, 1), true);
});

test("every position is the position of its value", () => {
  for (const control of controls) {
    for (let position = 0; position < countOf(control); position++) {
      assert.equal(positionOf(control, valueAt(control, position)), position);
    }
  }
});

test("a position is the nearest one, half goes up, and the ends hold", () => {
  assert.equal(positionOf({ ...a, min: 0, max: 4, step: 1 }, 2.5), 3);
  assert.equal(positionOf({ ...a, min: -4, max: 4, step: 1 }, -2.5), 2);
  assert.equal(positionOf(a, 100), 75);
  assert.equal(positionOf(a, -100), 0);
});

test("a tick holds positions, and values that are off the grid", () => {
  assert.equal(tickOf(controls, { a: 2, base: 10, on: true }), "15|2|1");
  assert.equal(tickOf(controls, {}), "15|1|0");
  assert.equal(tickOf(controls, { a: 0.30000000000000004 + 0.5 }), "3|1|0");
  assert.equal(tickOf(controls, { a: 0.333 }), "=0.333|1|0");
  assert.equal(tickOf(controls, { a: 9 }), "=9|1|0");
  assert.equal(tickOf([], {}), "");
  assert.ok(onGrid("15|1|0"));
  assert.ok(!onGrid("=0.333|1|0"));
});

test("inputs snap to the grid, and come back from a tick", () => {
  assert.deepEqual(snapped(controls, { a: 0.333, on: true }), { a: 0.5, base: 2, on: true });
  assert.deepEqual(inputsOf(controls, "15|2|1"), { a: 2, base: 10, on: true });
});

test("the nearest tick of a coarser grid keeps choices", () => {
  const ticks = ["0|1|0", "40|1|0", "15|2|0"];
  assert.equal(nearest(controls, ticks, "15|1|0"), "0|1|0");
  assert.equal(nearest(controls, ticks, "30|1|0"), "40|1|0");
  assert.equal(nearest(controls, ticks, "15|2|0"), "15|2|0");
  assert.equal(nearest(controls, [], "1|1|0"), "");
});

test("the order of what is opened does not matter", () => {
  assert.equal(keyOf(["d", "c"], "1|2"), keyOf(["c", "d"], "1|2"));
  assert.notEqual(keyOf(["d"], "1|2"), keyOf([], "1|2"));
  assert.notEqual(keyOf(["a,b"], "1|2"), keyOf(["a", "b"], "1|2"));
  assert.notEqual(keyOf(["a"], "/1"), keyOf(["a/"], "1"));
});

test("numbers are read as they are typed", () => {
  assert.equal(parsed(" 2.5 "), 2.5);
  assert.equal(parsed("2,5"), 2.5);
  assert.equal(parsed("−3"), -3);
  assert.equal(parsed("1e-3"), 0.001);
  assert.deepEqual(["", "x", "1/0", "Infinity", "NaN"].map(parsed), [null, null, null, null, null]);
  assert.equal(shown(0.1 + 0.2), "0.3");
});

test("what is wrong with a typed number is said in words", () => {
  const control = { name: "a", kind: "slider", value: 2, min: 0, max: 4, step: 0.1, most: 3.4e38 };
  const said = (text, more = {}) => wrong({ ...control, ...more }, text);
  assert.deepEqual(["2", "2,5", "-1e38", "−3"].map((text) => said(text)), ["", "", "", ""]);
  assert.equal(said("1e308"), "too large: at most 3.4e+38");
  assert.equal(said("-1e39"), "too large: at most 3.4e+38");
  assert.equal(said("1e999"), "too large");
  assert.equal(said("9".repeat(400)), "too large");
  for (const text of ["", "x", "NaN", "Infinity", "1/0"]) assert.match(said(text), /^type a number/);
  assert.equal(said("2.5", { whole: true }), "type a whole number");
  assert.equal(said("2", { whole: true }), "");
});


const at = (/** @type {string} */ tick) => keyOf([], tick);
const ask = (/** @type {string} */ tick) => ({ key: at(tick), tick, opened: [], inputs: {} });

test("what is cached is painted and not asked", () => {
  const turn = moved(newQueue(), ask("1"), true);
  assert.deepEqual([turn.paint, turn.send], [true, null]);
  assert.equal(turn.queue.shown, turn.queue.seq);
});

test("one request at a time; ticks that were passed over are never asked, the last is", () => {
  const sent = [];
  let queue = newQueue();
  for (const tick of ["1", "2", "3", "4"]) {
    const turn = moved(queue, ask(tick), false);
    queue = turn.queue;
    if (turn.send) sent.push(turn.send.tick);
  }
  assert.deepEqual(sent, ["1"]);
  const first = answered(queue, queue.flight.seq, at("1"));
  assert.ok(first.paint, "an answer on the way is shown");
  assert.equal(first.send.tick, "4");
  const last = answered(first.queue, first.send.seq, at("4"));
  assert.ok(last.paint);
  assert.equal(last.send, null);
  assert.equal(last.queue.shown, last.queue.seq);
});

test("an answer that comes late is not painted over what is newer", () => {
  let { queue, send } = moved(newQueue(), ask("1"), false);
  queue = moved(queue, ask("2"), true).queue; // cached, painted
  const late = answered(queue, send.seq, at("1"));
  assert.equal(late.paint, false);
  assert.equal(late.queue.flight, null);
  assert.equal(late.queue.shown, late.queue.seq);
});

test("an answer is painted when the controls are back where it was asked", () => {
  let { queue, send } = moved(newQueue(), ask("1"), false);
  queue = moved(queue, ask("2"), false).queue;
  const back = moved(queue, ask("1"), false);
  assert.equal(back.queue.waiting, null, "its answer is on the way");
  const turn = answered(back.queue, send.seq, at("1"));
  assert.ok(turn.paint);
  assert.equal(turn.send, null);
});

test("another view's answers are painted only where the controls are", () => {
  const { queue } = moved(newQueue(100), ask("1"), false);
  assert.equal(answered(queue, 7, at("9")).paint, false);
  assert.ok(answered(queue, 7, at("9")).queue.flight);
  assert.ok(answered(queue, 7, at("1")).paint);
});

test("staying where one is asks nothing", () => {
  const { queue } = moved(newQueue(), ask("1"), false);
  assert.equal(moved(queue, ask("1"), false).send, null);
});

test("states that come unasked end the waiting", () => {
  let { queue } = moved(newQueue(), ask("1"), false);
  queue = moved(queue, ask("2"), false).queue;
  const turn = filled(queue);
  assert.ok(turn.paint);
  assert.equal(turn.queue.waiting, null);
});

test("an answer that never comes holds up nothing", () => {
  let { queue } = moved(newQueue(), ask("1"), false);
  queue = moved(queue, ask("2"), false).queue;
  const turn = lost(queue);
  assert.equal(turn.send.tick, "2");
  assert.equal(lost(turn.queue).queue.flight, null);
});

test("in any order of moves and answers the last tick is asked, and shown in the end", () => {
  let random = 1;
  const next = (/** @type {number} */ most) => (random = (random * 48271) % 2147483647) % most;
  for (let round = 0; round < 300; round++) {
    const cache = new Set();
    let queue = newQueue();
    let painted = "";
    /** @type {any[]} */
    let flying = [];
    let tick = "";
    const take = (/** @type {any} */ turn, /** @type {string} */ key) => {
      queue = turn.queue;
      if (turn.paint) painted = key;
      if (turn.send) flying.push(turn.send);
      assert.ok(flying.length <= 1);
    };
    const answer = () => {
      const one = flying.shift();
      cache.add(one.key);
      take(answered(queue, one.seq, one.key), one.key);
    };
    for (let move = 0; move < 30; move++) {
      tick = String(next(6));
      const request = ask(tick);
      take(moved(queue, request, cache.has(request.key)), request.key);
      if (flying.length && next(3) === 0) answer();
    }
    while (flying.length) answer();
    assert.equal(painted, at(String(tick)));
    assert.equal(queue.shown, queue.seq);
  }
});

test("frames stay within the view", () => {
  assert.deepEqual([0, 1, 5, 9, NaN].map((step) => frameOf(step, 7)), [1, 1, 5, 7, 1]);
  assert.equal(frameOf(3, 0), 1);
  assert.equal(stepAfter("forward", 7, 7), 7);
  assert.equal(stepAfter("back", 1, 7), 1);
  assert.equal(stepAfter("back", 9, 7), 6);
  assert.equal(stepAfter("first", 5, 7), 1);
  assert.equal(stepAfter("last", 5, 7), 7);
});

test("keys step, play and switch, but not where they mean something else", () => {
  const at = (/** @type {string} */ key, place = "other", modified = false) =>
    keyAction(key, /** @type {any} */ (place), modified);
  assert.deepEqual(
    ["ArrowLeft", "PageUp", "ArrowRight", "PageDown", "Home", "End", " ", "3", "f", "+", "-", "Escape"].map(
      (key) => at(key),
    ),
    ["back", "back", "forward", "forward", "first", "last", "play", "view-3", "full", "larger", "smaller", "close"],
  );
  assert.deepEqual(["x", "Tab", "ArrowUp", "Enter", "0"].map((key) => at(key)), Array(5).fill(null));
  assert.equal(at("f", "other", true), null);
  assert.equal(at("3", "text"), null);
  assert.equal(at("ArrowRight", "slider"), null);
  assert.equal(at("End", "slider"), null);
  assert.equal(at("2", "slider"), "view-2");
  assert.equal(at(" ", "button"), null);
  assert.equal(at(" ", "box"), "choose");
  assert.equal(at("Enter", "box"), "choose");
  assert.equal(at("ArrowRight", "box"), "forward");
  assert.equal(at("ArrowRight", "tab"), "view-after");
  assert.equal(at("ArrowDown", "list"), null);
});

test("words hold the numbers of the run", () => {
  const texts = new Map([["variable-4 e =", "12"]]);
  assert.equal(withNumbers("e = {variable-4 e =}; {gone}", texts), "e = 12; ?");
});

test("numbers are as wide as typeset.py says", () => {
  assert.ok(Math.abs(widthOf("-00.0000", 18) - 64.49) < 0.01);
  assert.ok(widthOf("2 + 8.6562 = 10.6562", 18) > widthOf("10.6562", 18));
});

const data = {
  scenes: [],
  controls: [{ ...a, min: 0, max: 2, step: 1, value: 1 }],
  inputs: { a: 1.2 },
  step: 1,
  view: /** @type {const} */ ("backward"),
  opened: [],
  strings: ["", "1", "variable-2 link-1", "NaN at d"],
  grids: [{ opened: [], ticks: ["0", "1"], rows: [[7, 3, 2, 1, 0], [7, 0, 0, 1, 1]], errors: { 2: { line: 3, text: "no" } } }],
};

test("rows of positions are states", () => {
  assert.deepEqual(unpacked([7, 3, 2, 1, 0], data.strings), {
    scene: 7,
    texts: ["1", ""],
    alarms: ["variable-2", "link-1"],
    words: "NaN at d",
  });
});

test("keys that always have the same text share a place in a row", () => {
  const columns = { 7: [0, 1, 0] };
  assert.deepEqual(unpacked([7, 0, 0, 1, 2], ["", "2", "5"], columns).texts, ["2", "5", "2"]);
  assert.deepEqual(unpacked([8, 0, 0, 1, 2], ["", "2", "5"], columns).texts, ["2", "5"]);
});

test("a model without a kernel has all of its states, and answers with the nearest", async () => {
  const model = staticModel(data);
  assert.deepEqual(model.get("inputs"), { a: 1 });
  assert.deepEqual(model.get("state").texts, ["1", "1"]);
  assert.deepEqual(model.get("states")(at("2")), { error: { line: 3, text: "no" } });
  assert.equal(model.get("states")(at("9")), undefined);
  const heard = [];
  const hear = (/** @type {any} */ message) => heard.push(message);
  model.on("msg:custom", hear);
  model.send({ type: "tick", seq: 1, tick: "=0.2", opened: [], inputs: { a: 0.2 } });
  await null;
  assert.equal(heard.length, 1);
  assert.deepEqual(heard[0].inputs, { a: 0 });
  model.send({ type: "tick", seq: 2, tick: "0", opened: ["d"], inputs: { a: 0 } });
  await null;
  assert.ok(heard[1].error);
  model.off("msg:custom", hear);
  let changes = 0;
  model.on("change:step", () => changes++);
  model.set("step", 2);
  model.set("step", 2);
  assert.equal(changes, 1);
});

test("a tall picture is made smaller, but never too small to be read", () => {
  assert.equal(fitting(400, 900), 1);
  assert.equal(fitting(600, 870), 0.9);
  assert.equal(fitting(2000, 900), 0.75);
  assert.equal(fitting(700, 100), 0.75);
});

// Folded graphs

/** @param {number} time */
const frame = (time) => ({ lit: [], lines: [], rules: [], words: "", time });
/** @param {string} title @param {string | null} [opens] */
const detail = (title, opens = null) => ({ title, lines: [], opens });
/** @param {number} id @param {string[]} opened @param {Record<string, any>} details */
const folded = (id, opened, details) => ({
  id,
  opened,
  title: "",
  views: [],
  keys: [],
  source: [],
  note: "",
  details,
  paths: [],
  groups: opened.map((name) => ({ name, closes: [name], box: `group-${name}`, top: "item-9" })),
});

test("a step is the frame in which as much has been computed", () => {
  const frames = [frame(0), frame(4), frame(9)];
  assert.deepEqual([0, 3, 4, 8, 9, 50].map((time) => frameAt(frames, time)), [1, 1, 2, 2, 3, 3]);
  assert.equal(frameAt([frame(2)], 0), 1);
});

test("a group is found by its name, open or closed or among equal ones", () => {
  const choice = { before: "h.", after: ".mlp", first: 1, last: 11 };
  const scene = folded(1, ["net"], {
    "item-1": detail("head", "head"),
    "item-2": { ...detail("h", "h"), choice },
    "item-3": detail("AddBackward0"),
  });
  assert.equal(boxOf(scene, "net"), "item-9");
  assert.equal(boxOf(scene, "head"), "item-1");
  assert.equal(boxOf(scene, "h.11.mlp"), "item-2");
  for (const name of ["h.0.mlp", "h.12.mlp", "h..mlp", "h.1", "h", "AddBackward0"]) {
    assert.equal(boxOf(scene, name), null, name);
  }
});

const page = {
  scenes: [
    folded(1, [], { "item-0": detail("net", "net"), "flow-0": detail("Gradient to net.a") }),
    folded(2, ["net"], { "item-0": detail("net.a", "net.a"), "leaf-1-0": detail("net.a.weight") }),
  ],
  controls: [{ name: "leaves", kind: /** @type {const} */ ("checkbox"), value: true }],
  inputs: { leaves: true },
  step: 1,
  view: /** @type {const} */ ("network"),
  opened: [],
  strings: [""],
  names: ["net"],
  grids: [
    { opened: [], ticks: ["1"], rows: [[1, 0, 0]], errors: {} },
    { opened: ["net"], ticks: ["1"], rows: [[2, 0, 0]], errors: {} },
  ],
};

test("a page without a kernel finds what it holds", () => {
  const find = (/** @type {string} */ words) =>
    sought(page, { type: "seek", seq: 3, words }, { opened: [], inputs: { leaves: true } });
  assert.deepEqual(find("A.WEI"), {
    type: "found",
    seq: 3,
    words: "A.WEI",
    name: "net.a.weight",
    opened: ["net"],
    inputs: { leaves: true },
    box: "leaf-1-0",
  });
  assert.equal(find("net").box, "item-0");
  assert.deepEqual(find("net").opened, []);
  assert.equal(find("gradient to").name, null);
  assert.equal(find(" ").name, null);
});

test("a page without a kernel says what it does not hold", async () => {
  const model = staticModel(page);
  const heard = /** @type {any[]} */ ([]);
  model.on("msg:custom", (message) => heard.push(message));
  model.send({ type: "tick", seq: 1, tick: "1", opened: ["net.a"], inputs: { leaves: true } });
  model.send({ type: "tick", seq: 2, tick: "0", opened: [], inputs: { leaves: false } });
  model.send({ type: "tick", seq: 3, tick: "1", opened: ["net"], inputs: { leaves: true } });
  await null;
  assert.match(heard[0].back, /holds 2 pictures.*save_html/);
  assert.ok(heard[1].back);
  assert.equal(heard[2].back, undefined);
  assert.equal(heard[2].state.scene, 2);
});
