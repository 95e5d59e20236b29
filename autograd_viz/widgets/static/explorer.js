/**
 * The front end of the Explorer: an anywidget module, and the whole of it, since anywidget loads
 * one file. Python sends data, this sends intent. Above are the data and pure functions over them
 * (tested in Node), below what touches the page.
 *
 * ## The contract with Python
 *
 * Traits of the model: `scenes` (Scene[], usually one), `state` (Current), `controls` (Control[]),
 * `inputs` (Inputs), `step` (frame, from 1), `view`, `opened` (string[]), `error` (Problem | null),
 * `busy` (boolean).
 *
 * Custom messages: we send `Ask`; Python sends `Answer` (exactly one for each Ask, whatever
 * happens) and `States` (which fill the cache while it is idle). For a `Seek` it sends `Found`.
 *
 * A scene with `groups` is a folded graph: a click on a closed group opens it, one on an opened
 * group's frame closes it, and `names` (a trait, string[]) are what its search field offers.
 *
 * A *tick* names a point of the sliders' grid; `tickOf` states it exactly. Only what is on the grid
 * is cached; for what is not, a tick has the form "=0.333" and is only ever echoed by Python.
 *
 * In a scene's svg and rules:
 * - `data-box="variable-4"`: a box or an arrow, by the name that Frame.lit and State.alarms use;
 * - `data-from="3"`: there from frame 3 on;
 * - `data-fills="3"` beside a data-box: drawn as empty (dashed) before frame 3, an arrow as thin;
 * - `<text data-key="variable-4 e =" data-room="64.5"/>`: empty, to be filled with the text of that
 *   key; stands last in its line, and may be as wide as data-room says, in the svg's own units;
 * - `<g class="av-centred">` around a line with such a text: kept in the middle of its room.
 *
 * @typedef {"computation" | "derivatives" | "backward" | "functions" | "network"} ViewName
 *
 * @typedef {object} Frame
 * @property {string[]} lit boxes and arrows that the frame is about
 * @property {number[]} lines numbers of the source lines that made them
 * @property {string[]} rules chain-rule lines, each an <svg>
 * @property {string} words the frame for screen readers, with {key} for numbers
 * @property {number} [time] of a folded graph: the engine's step at which the group ran first
 *
 * @typedef {object} View
 * @property {ViewName} name
 * @property {string} label
 * @property {string} svg all frames in one
 * @property {Frame[]} frames
 *
 * @typedef {object} Detail what is known about a box; lines may have {key} for numbers
 * @property {string} title
 * @property {string[]} lines
 * @property {string | null} opens what stands in `opened` when the box is open; null: never
 * @property {Choice} [choice] of equal parts, of which one is to be chosen to open
 *
 * @typedef {object} Choice the names of equal parts: `before`, a number, `after`
 * @property {string} before
 * @property {string} after
 * @property {number} first
 * @property {number} last
 *
 * @typedef {object} Group an opened group
 * @property {string} name
 * @property {string[]} closes what no longer stands in `opened` when it is closed
 * @property {string} box of its frame
 * @property {string | null} top the first box in it
 *
 * @typedef {object} Paths all paths from the output to one leaf, with {key} for numbers
 * @property {string} title
 * @property {string[]} rows
 * @property {string} sum "" where it is not known
 *
 * @typedef {object} Scene what stands still as long as the computation has the same form
 * @property {number} id
 * @property {string[]} opened the variables that it shows opened
 * @property {string} title
 * @property {View[]} views
 * @property {string[]} keys of the numbers, in the order of State.texts
 * @property {{number: number, text: string}[]} source
 * @property {string} note what is new in it, said when it replaces another; "" for nothing
 * @property {Record<string, Detail>} details by box
 * @property {Paths[]} paths
 * @property {Group[]} [groups] of a folded graph: what is open, outer groups first
 *
 * @typedef {object} State the numbers of one run
 * @property {number} scene
 * @property {string[]} texts
 * @property {string[]} alarms boxes with NaN or inf
 * @property {string} words the trouble in words, "" if there is none
 *
 * @typedef {State & {tick?: string, opened?: string[]}} Current the trait: a state, and whose
 *
 * @typedef {number | boolean | string} Value
 * @typedef {Record<string, Value>} Inputs by control
 *
 * @typedef {object} Control a vector has one for each element, named x[0], x[1], ...
 * @property {string} name
 * @property {"slider" | "choice" | "checkbox"} kind
 * @property {number} [min]
 * @property {number} [max]
 * @property {number} [step]
 * @property {number} [most] the largest number that may be typed
 * @property {boolean} [whole] only whole numbers may be
 * @property {Value[]} [options]
 * @property {Value} value where it begins
 *
 * @typedef {{line: number | null, text: string}} Problem
 *
 * @typedef {object} Ask
 * @property {"tick"} type
 * @property {number} seq
 * @property {string} tick
 * @property {string[]} opened
 * @property {Inputs} inputs
 *
 * @typedef {object} Answer
 * @property {"answer"} type
 * @property {number} seq of the Ask
 * @property {string} tick of the Ask
 * @property {string[]} opened of the Ask
 * @property {State} [state] missing if there was an error
 * @property {Scene} [scene] that of the state, where it is new
 * @property {Problem} [error]
 * @property {Inputs} [inputs] to go to instead (a page without a kernel has no others)
 * @property {string} [back] why to stay where we are (a page without a kernel may not hold it)
 *
 * @typedef {object} Seek
 * @property {"seek"} type
 * @property {number} seq
 * @property {string} words
 *
 * @typedef {object} Found
 * @property {"found"} type
 * @property {number} seq of the Seek
 * @property {string} words of the Seek
 * @property {string | null} name of what was found; null for nothing
 * @property {string[]} [opened] what is open when it is seen
 * @property {Inputs} [inputs] at which it is seen
 * @property {string | null} [box] that it is in
 *
 * @typedef {object} States
 * @property {"states"} type
 * @property {string[]} opened
 * @property {Record<string, State>} states by tick
 * @property {Scene[]} [scenes] those of the states, where they are new
 *
 * @typedef {{state?: State, error?: Problem}} Entry what a tick leads to
 *
 * @typedef {object} Model what anywidget gives to render
 * @property {(name: string) => any} get
 * @property {(name: string, value: unknown) => void} set
 * @property {(event: string, callback: (...args: any[]) => void) => void} on
 * @property {(event: string, callback: (...args: any[]) => void) => void} off
 * @property {() => void} save_changes
 * @property {(message: unknown) => void} send
 */

// Ticks

/**
 * How many positions a slider has, or options a choice.
 *
 * @param {Control} control
 */
export function countOf(control) {
  if (control.kind === "checkbox") return 2;
  if (control.kind === "choice") return control.options?.length ?? 0;
  const { min = 0, max = 1, step = 1 } = control;
  return Math.floor((max - min) / step + 1e-9) + 1;
}

/**
 * The value at a position: for a slider `min + position * step`, to 12 significant digits (in
 * Python `float(f"{value:.12g}")`).
 *
 * @param {Control} control
 * @param {number} position
 * @returns {Value}
 */
export function valueAt(control, position) {
  if (control.kind === "checkbox") return position === 1;
  if (control.kind === "choice") return control.options?.[position] ?? "";
  return Number(((control.min ?? 0) + position * (control.step ?? 1)).toPrecision(12));
}

/**
 * The position nearest to a value, which may lie between two: then half goes up.
 *
 * @param {Control} control
 * @param {Value} value
 */
export function positionOf(control, value) {
  if (control.kind === "checkbox") return value ? 1 : 0;
  if (control.kind === "choice") return Math.max(0, control.options?.indexOf(value) ?? 0);
  const position = Math.floor((Number(value) - (control.min ?? 0)) / (control.step ?? 1) + 0.5);
  return Math.min(Math.max(position, 0), countOf(control) - 1);
}

/**
 * The tick of some inputs: one part a control, joined by "|". On the grid a part is the position:
 * of a slider, of a choice among its options, 0 or 1 of a checkbox. A slider's value that differs
 * from the nearest position's by more than a millionth of a step gives "=" and the value.
 *
 * @param {Control[]} controls
 * @param {Inputs} inputs
 */
export function tickOf(controls, inputs) {
  return controls
    .map((control) => {
      const value = inputs[control.name] ?? control.value;
      const position = positionOf(control, value);
      if (control.kind !== "slider") return String(position);
      const off = Math.abs(Number(value) - Number(valueAt(control, position)));
      return off <= 1e-6 * (control.step ?? 1) ? String(position) : `=${value}`;
    })
    .join("|");
}

/** @param {string} tick */
export function onGrid(tick) {
  return !tick.includes("=");
}

/**
 * The inputs at the nearest point of the grid.
 *
 * @param {Control[]} controls
 * @param {Inputs} inputs
 * @returns {Inputs}
 */
export function snapped(controls, inputs) {
  return Object.fromEntries(
    controls.map((control) => [
      control.name,
      valueAt(control, positionOf(control, inputs[control.name] ?? control.value)),
    ]),
  );
}

/**
 * The inputs of a tick on the grid.
 *
 * @param {Control[]} controls
 * @param {string} tick
 * @returns {Inputs}
 */
export function inputsOf(controls, tick) {
  const positions = tick.split("|");
  return Object.fromEntries(
    controls.map((control, place) => [control.name, valueAt(control, Number(positions[place]))]),
  );
}

/**
 * Of some ticks on the grid the one nearest to another: in the sum of steps, where another option
 * or a checkbox weighs more than any slider.
 *
 * @param {Control[]} controls
 * @param {Iterable<string>} ticks
 * @param {string} tick
 */
export function nearest(controls, ticks, tick) {
  const wanted = tick.split("|").map(Number);
  let best = "";
  let least = Infinity;
  for (const one of ticks) {
    const positions = one.split("|").map(Number);
    let far = 0;
    controls.forEach((control, place) => {
      const steps = Math.abs((positions[place] ?? 0) - (wanted[place] ?? 0));
      far += control.kind === "slider" ? steps / countOf(control) : Math.min(steps, 1) * 1000;
    });
    if (far < least) [best, least] = [one, far];
  }
  return best;
}

/**
 * What a cached state is found by.
 *
 * @param {string[]} opened
 * @param {string} tick
 */
export function keyOf(opened, tick) {
  return JSON.stringify([[...opened].sort(), tick]); // a name may hold any character
}

/**
 * The number that a reader typed, or null. A comma counts as a decimal point.
 *
 * @param {string} text
 */
export function parsed(text) {
  const plain = text.trim().replace(",", ".").replace("−", "-");
  const value = Number(plain);
  return plain !== "" && Number.isFinite(value) ? value : null;
}

/**
 * What is wrong with what a reader typed for a slider; "" if nothing is.
 *
 * @param {Control} control
 * @param {string} text
 */
export function wrong(control, text) {
  const value = parsed(text);
  if (value === null) {
    const large = /^[-+−]?(\d[\d.,]*e\+?\d+|\d{300,})$/i.test(text.trim());
    return large ? "too large" : "type a number, such as 2.5 or 1e-3";
  }
  if (Math.abs(value) > (control.most ?? Number.MAX_VALUE)) {
    return `too large: at most ${Number(control.most?.toPrecision(2))}`;
  }
  return control.whole && !Number.isInteger(value) ? "type a whole number" : "";
}

// Requests: one at a time, none for a tick that was passed over, always one for the last.

/**
 * @typedef {{seq: number, key: string, tick: string, opened: string[], inputs: Inputs}} Request
 *
 * @typedef {object} Queue
 * @property {string} current key of where the controls are
 * @property {number} seq of the last move
 * @property {number} shown seq of the move whose state is on the screen
 * @property {Request | null} flight asked and not answered
 * @property {Request | null} waiting to be asked when the answer is there
 *
 * @typedef {{queue: Queue, send: Request | null, paint: boolean}} Turn
 */

/**
 * @param {number} [first] each view of a widget begins elsewhere: all hear all answers
 * @returns {Queue}
 */
export function newQueue(first = 0) {
  return { current: "", seq: first, shown: first, flight: null, waiting: null };
}

/**
 * The controls moved. `cached`: what they lead to can be painted at once.
 *
 * @param {Queue} queue
 * @param {Omit<Request, "seq">} request
 * @param {boolean} cached
 * @returns {Turn}
 */
export function moved(queue, request, cached) {
  if (request.key === queue.current) return { queue, send: null, paint: false };
  const seq = queue.seq + 1;
  const next = { ...queue, current: request.key, seq, waiting: null };
  if (cached) return { queue: { ...next, shown: seq }, send: null, paint: true };
  const asked = { ...request, seq };
  if (queue.flight === null) return { queue: { ...next, flight: asked }, send: asked, paint: false };
  const flying = queue.flight.key === request.key; // its answer will do
  return { queue: { ...next, waiting: flying ? null : asked }, send: null, paint: false };
}

/**
 * An answer came. It is painted if it is where the controls are, or on the way there.
 *
 * @param {Queue} queue
 * @param {number} seq
 * @param {string} key
 * @returns {Turn}
 */
export function answered(queue, seq, key) {
  const ours = queue.flight?.seq === seq;
  const paint = key === queue.current || (ours && seq > queue.shown);
  const next = { ...queue };
  if (key === queue.current) {
    next.shown = queue.seq;
    next.waiting = null;
  } else if (paint) next.shown = seq;
  if (!ours) return { queue: next, send: null, paint };
  next.flight = next.waiting;
  next.waiting = null;
  return { queue: next, send: next.flight, paint };
}

/**
 * States came unasked, among them the one where the controls are.
 *
 * @param {Queue} queue
 * @returns {Turn}
 */
export function filled(queue) {
  const paint = queue.shown !== queue.seq;
  return { queue: { ...queue, shown: queue.seq, waiting: null }, send: null, paint };
}

/**
 * No answer came in time: what waits is asked, and nothing else is held up.
 *
 * @param {Queue} queue
 * @returns {Turn}
 */
export function lost(queue) {
  const next = { ...queue, flight: queue.waiting, waiting: null };
  return { queue: next, send: next.flight, paint: false };
}

// Steps, keys and texts

/**
 * The frame that a view shows at a step: views have different numbers of frames.
 *
 * @param {number} step
 * @param {number} count
 */
export function frameOf(step, count) {
  return Math.min(Math.max(Math.round(step) || 1, 1), Math.max(count, 1));
}

/**
 * @param {"first" | "back" | "forward" | "last"} action
 * @param {number} step
 * @param {number} count
 */
export function stepAfter(action, step, count) {
  const frame = frameOf(step, count);
  const next = { first: 1, back: frame - 1, forward: frame + 1, last: count }[action];
  return frameOf(next, count);
}

/**
 * The frame in which as much has been computed as at a time of the engine's.
 *
 * @param {Frame[]} frames
 * @param {number} time
 */
export function frameAt(frames, time) {
  return Math.max(1, frames.filter((one) => (one.time ?? 0) <= time).length);
}

/**
 * The box that shows a group, whether it is open or not.
 *
 * @param {Scene} scene
 * @param {string} name
 * @returns {string | null}
 */
export function boxOf(scene, name) {
  const open = scene.groups?.find((one) => one.name === name);
  if (open) return open.top;
  for (const [box, { opens, choice }] of Object.entries(scene.details)) {
    if (!choice && opens === name) return box;
    if (choice && name.startsWith(choice.before) && name.endsWith(choice.after)) {
      const middle = name.slice(choice.before.length, name.length - choice.after.length);
      const number = /^\d+$/.test(middle) ? Number(middle) : -1;
      if (choice.first <= number && number <= choice.last) return box;
    }
  }
  return null;
}

/**
 * Where a presenter's remote leads, null for another slide. A widget that nobody has stepped yet
 * shows its last step, and begins with the first.
 *
 * @param {string} key
 * @param {number} step
 * @param {number} count
 * @param {boolean} begun whether it was stepped
 */
export function stepOfRemote(key, step, count, begun) {
  const frame = frameOf(step, count);
  if (key === "PageUp") return frame > 1 ? frame - 1 : null;
  if (key !== "PageDown" || count === 1) return null;
  if (frame < count) return frame + 1;
  return begun ? null : 1;
}

/**
 * What a key does, null for nothing.
 *
 * @param {string} key
 * @param {"text" | "list" | "slider" | "button" | "tab" | "box" | "other"} place what has the focus
 * @param {boolean} modified by Ctrl, Alt or Meta
 * @returns {string | null}
 */
export function keyAction(key, place, modified) {
  if (modified || place === "text" || place === "list") return null;
  const moves = /^(Arrow.*|Home|End|PageUp|PageDown)$/.test(key);
  if (place === "slider" && moves) return null;
  if (place === "tab" && moves) {
    return { ArrowLeft: "view-before", ArrowRight: "view-after" }[key] ?? null;
  }
  if (key === " " || key === "Enter") {
    if (place === "box") return "choose";
    return key === " " && place !== "button" && place !== "tab" ? "play" : null;
  }
  if (/^[1-9]$/.test(key)) return `view-${key}`;
  return (
    /** @type {Record<string, string>} */ ({
      ArrowLeft: "back",
      PageUp: "back",
      ArrowRight: "forward",
      PageDown: "forward",
      Home: "first",
      End: "last",
      f: "full",
      F: "full",
      "+": "larger",
      "=": "larger",
      "-": "smaller",
      _: "smaller",
      Escape: "close",
    })[key] ?? null
  );
}

/**
 * Words with the numbers in the place of their {keys}.
 *
 * @param {string} words
 * @param {Map<string, string>} texts
 */
export function withNumbers(words, texts) {
  return words.replace(/\{([^{}]*)\}/g, (_, key) => texts.get(key) ?? "?");
}

/**
 * A value as it stands in its field.
 *
 * @param {Value | undefined} value
 */
export function shown(value) {
  return typeof value === "number" ? String(Number(value.toPrecision(7))) : String(value ?? "");
}

/** Widths of Times in thousandths of its size, as in typeset.py. */
const WIDTHS = new Map(
  Object.entries({
    250: " ,.", 278: "/:;ijlt·", 333: "!'()-[]frI", 389: "Js", 444: "acez", 564: "+<=>×−≈",
    611: "ELTZ", 667: "BCR", 722: "ADGHKNOQUVXYw", 778: "m", 889: "M", 1000: "…",
  }).flatMap(([width, characters]) => [...characters].map((one) => [one, Number(width)])),
);

/**
 * The width of a number.
 *
 * @param {string} text
 * @param {number} size of the font
 */
export function widthOf(text, size) {
  let width = 0;
  for (const character of text) width += WIDTHS.get(character) ?? 500;
  return (width * size) / 1000;
}

// A model without a kernel

/**
 * The data of a page without a kernel. States are kept small: `strings` holds each text once, and a
 * state is a row of positions in it, `[scene, words, alarms (joined by spaces), ...texts]`, where
 * the first is the scene's id itself. Keys that always have the same text share a place: `columns`
 * has for each scene the place of each key among a row's texts; without it they are in order. A
 * point that raised an error has its Problem in `errors`.
 *
 * @typedef {object} Grid
 * @property {string[]} opened
 * @property {string[]} ticks
 * @property {number[][]} rows one a tick
 * @property {Record<string, Problem>} errors by tick
 *
 * @typedef {object} Data
 * @property {Scene[]} scenes
 * @property {Control[]} controls
 * @property {Inputs} inputs
 * @property {number} step
 * @property {ViewName} view
 * @property {string[]} opened
 * @property {string[]} strings
 * @property {Record<string, number[]>} [columns] by scene
 * @property {Grid[]} grids one for each set of opened variables
 * @property {string[]} [names] of a folded graph: what can be searched for
 */

/**
 * @param {Data} data
 * @returns {Model}
 */
export function staticModel(data) {
  /** @type {Map<string, () => Entry>} */
  const entries = new Map();
  for (const grid of data.grids) {
    grid.ticks.forEach((tick, place) =>
      entries.set(keyOf(grid.opened, tick), () => ({
        state: unpacked(grid.rows[place] ?? [], data.strings, data.columns),
      })),
    );
    for (const [tick, error] of Object.entries(grid.errors)) {
      entries.set(keyOf(grid.opened, tick), () => ({ error }));
    }
  }
  const entry = (/** @type {string} */ key) => entries.get(key)?.();
  const { scenes, controls, step, view, opened } = data;
  const inputs = snapped(controls, data.inputs);
  const begin = entry(keyOf(opened, tickOf(controls, inputs)));
  /** @type {Record<string, unknown>} */
  const traits = { scenes, controls, inputs, step, view, opened, busy: false };
  traits.names = data.names ?? [];
  traits.state = begin?.state ?? null;
  traits.error = begin?.error ?? null;
  traits.states = entry;
  /** @type {Map<string, Set<(...args: any[]) => void>>} */
  const listeners = new Map();
  const tell = (/** @type {string} */ event, /** @type {unknown} */ value) => {
    for (const callback of [...(listeners.get(event) ?? [])]) callback(value);
  };
  /** @param {Ask} ask */
  const answer = (ask) => {
    if (data.names && !entry(keyOf(ask.opened, ask.tick))) {
      const back = `This page holds ${scenes.length} pictures, and this is none of them: run the notebook, or allow more: save_html(path, limit=...).`;
      tell("msg:custom", { ...ask, type: "answer", back });
      return;
    }
    const grid = data.grids.find((one) => keyOf(one.opened, "") === keyOf(ask.opened, ""));
    const near = tickOf(controls, snapped(controls, ask.inputs));
    const ticks = grid && [...grid.ticks, ...Object.keys(grid.errors)];
    const tick = nearest(controls, ticks ?? [], near);
    const found = entry(keyOf(ask.opened, tick));
    const error = { line: null, text: "This page does not hold what was asked for." };
    const inputs = found && inputsOf(controls, tick);
    tell("msg:custom", { ...ask, type: "answer", ...(found ?? { error }), inputs });
  };
  return {
    get: (name) => traits[name],
    set(name, value) {
      if (traits[name] === value) return;
      traits[name] = value;
      tell(`change:${name}`, value);
    },
    on(event, callback) {
      const all = listeners.get(event) ?? new Set();
      listeners.set(event, all.add(callback));
    },
    off(event, callback) {
      listeners.get(event)?.delete(callback);
    },
    save_changes() {},
    send(message) {
      const ask = /** @type {Ask | Seek} */ (message);
      if (ask.type === "tick") queueMicrotask(() => answer(ask));
      else queueMicrotask(() => tell("msg:custom", sought(data, ask, traits)));
    },
  };
}

/**
 * Where a page without a kernel shows something: as it is now, or else with as little open as can be.
 *
 * @param {Data} data
 * @param {Seek} seek
 * @param {Record<string, unknown>} now the traits
 * @returns {Found}
 */
export function sought(data, seek, now) {
  const words = seek.words.trim().toLowerCase();
  const here = keyOf(/** @type {string[]} */ (now.opened), tickOf(data.controls, /** @type {Inputs} */ (now.inputs)));
  /** @type {(Found & {order: number[]})[]} */
  const all = [];
  for (const { opened, ticks, rows } of data.grids) {
    ticks.forEach((tick, place) => {
      const scene = data.scenes.find((one) => one.id === rows[place]?.[0]);
      for (const [box, { title }] of Object.entries(scene?.details ?? {})) {
        if (!words || !title.toLowerCase().includes(words) || box.startsWith("flow-")) continue;
        const order = [title.length, Number(keyOf(opened, tick) !== here), opened.length];
        all.push({ ...seek, type: "found", name: title, opened, inputs: inputsOf(data.controls, tick), box, order });
      }
    });
  }
  const less = (/** @type {number[]} */ one, /** @type {number[]} */ other) => {
    const place = one.findIndex((value, at) => value !== other[at]);
    return place < 0 ? 0 : (one[place] ?? 0) - (other[place] ?? 0);
  };
  all.sort((one, other) => less(one.order, other.order));
  const { order, ...found } = all[0] ?? { ...seek, type: /** @type {const} */ ("found"), name: null, order: [] };
  return found;
}

/**
 * @param {number[]} row
 * @param {string[]} strings
 * @param {Record<string, number[]>} [columns]
 * @returns {State}
 */
export function unpacked(row, strings, columns) {
  const [scene = 0, words = 0, alarms = 0, ...places] = row;
  const texts = columns?.[scene]?.map((place) => places[place] ?? 0) ?? places;
  const text = (/** @type {number} */ place) => strings[place] ?? "";
  return {
    scene,
    texts: texts.map(text),
    alarms: text(alarms).split(" ").filter(Boolean),
    words: text(words),
  };
}

// What touches the page

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} name class
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
function make(tag, name, attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  for (const [attribute, value] of Object.entries(attributes)) {
    element.setAttribute(attribute, value);
  }
  element.append(...children);
  return element;
}

/**
 * @param {Element} element
 * @param {string} attribute
 * @param {string | null} value
 */
function put(element, attribute, value) {
  if (value === null) element.removeAttribute(attribute);
  else if (element.getAttribute(attribute) !== value) element.setAttribute(attribute, value);
}

/**
 * @param {Node} node
 * @param {string} text
 */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * @param {string} text from our own Python
 * @returns {SVGSVGElement}
 */
function parsedSvg(text) {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  return /** @type {any} */ (document.importNode(parsed, true));
}

/**
 * The numbers in an svg: the function puts them in, and touches only what differs.
 *
 * @param {SVGSVGElement} svg
 * @returns {(texts: Map<string, string>) => void}
 */
function numbersIn(svg) {
  const places = [...svg.querySelectorAll("text[data-key]")].map((element) => ({
    element,
    key: element.getAttribute("data-key") ?? "",
    room: Number(element.getAttribute("data-room")),
    size: Number(element.getAttribute("font-size")),
    line: element.closest(".av-centred"),
    text: "",
    shift: "",
  }));
  return (texts) => {
    for (const place of places) {
      const text = texts.get(place.key) ?? "";
      if (text === place.text) continue;
      place.text = text;
      place.element.textContent = text;
      // Its width is given, so that no font makes it leave its room.
      const width = Math.min(widthOf(text, place.size), place.room);
      put(place.element, "textLength", text ? width.toFixed(2) : null);
      put(place.element, "lengthAdjust", text ? "spacingAndGlyphs" : null);
      const shift = `translate(${((place.room - width) / 2).toFixed(2)} 0)`;
      if (place.line && shift !== place.shift) put(place.line, "transform", (place.shift = shift));
    }
  };
}

/**
 * @typedef {object} Drawn a view on the page
 * @property {View} view
 * @property {SVGSVGElement} svg
 * @property {(texts: Map<string, string>) => void} number
 * @property {(frame: number, alarms: Set<string>) => void} show
 * @property {(frame: number, texts: Map<string, string>) => SVGSVGElement[]} rules
 * @property {number} rulesHeight of the frame that needs most
 * @property {Map<string, SVGElement>} boxes
 */

/**
 * @param {View} view
 * @param {Record<string, Detail>} details
 * @param {boolean} folded
 * @returns {Drawn}
 */
function drawn(view, details, folded) {
  const svg = parsedSvg(view.svg);
  put(svg, "role", "group");
  put(svg, "aria-label", view.label);
  svg.classList.add("avx-drawing");
  const at = (/** @type {Element} */ element, /** @type {string} */ name) =>
    Number(element.getAttribute(name) ?? 1);
  const later = [...svg.querySelectorAll("[data-from]")].map((element) => ({
    element,
    from: at(element, "data-from"),
  }));
  const shapes = ".av-oval,.av-rect,.av-arrow,.av-head";
  const parts = [.../** @type {NodeListOf<SVGElement>} */ (svg.querySelectorAll("[data-box]"))].map(
    (element) => ({
      element,
      name: element.getAttribute("data-box") ?? "",
      shapes: [...element.querySelectorAll(shapes)],
      arrow: element.querySelector(".av-arrow") !== null,
      fills: at(element, "data-fills"),
      // An alarm is given when its number is there.
      known: Math.max(
        at(element, "data-from"),
        at(element, "data-fills"),
        ...[...element.querySelectorAll("[data-from]")].map((part) => at(part, "data-from")),
      ),
    }),
  );
  const boxes = new Map(
    parts.filter((part) => part.name in details).map((part) => [part.name, part.element]),
  );
  for (const [name, element] of boxes) {
    put(element, "tabindex", "0");
    put(element, "role", "button");
    put(element, "aria-label", details[name]?.title ?? name);
    put(element, "aria-pressed", "false");
    if (folded && details[name]?.opens) put(element, "aria-expanded", String(name.startsWith("group-")));
  }
  /** @type {Map<number, {svg: SVGSVGElement, number: (texts: Map<string, string>) => void}[]>} */
  const lines = new Map();
  const heights = view.frames.map((frame) =>
    frame.rules.reduce((sum, rule) => sum + Number(/ height="([\d.]+)"/.exec(rule)?.[1] ?? 0), 0),
  );
  return {
    view,
    svg,
    boxes,
    number: numbersIn(svg),
    rulesHeight: Math.max(0, ...heights),
    show(frame, alarms) {
      const lit = new Set(view.frames[frame - 1]?.lit);
      for (const { element, from } of later) element.classList.toggle("avx-later", frame < from);
      for (const part of parts) {
        if (part.fills > 1) part.element.classList.toggle("avx-early", frame < part.fills);
        for (const shape of part.shapes) {
          shape.classList.toggle("av-lit", lit.has(part.name));
          shape.classList.toggle("av-alarm", alarms.has(part.name) && frame >= part.known);
          if (part.fills > 1 && !part.arrow) shape.classList.toggle("av-empty", frame < part.fills);
        }
      }
    },
    rules(frame, texts) {
      let made = lines.get(frame);
      if (!made) {
        made = (view.frames[frame - 1]?.rules ?? []).map((rule) => {
          const svg = parsedSvg(rule);
          svg.classList.add("avx-rule");
          svg.style.setProperty("--avx-wide", `${svg.getAttribute("width")}px`);
          return { svg, number: numbersIn(svg) };
        });
        lines.set(frame, made);
      }
      for (const line of made) line.number(texts);
      return made.map((line) => line.svg);
    },
  };
}

const SPEEDS = [0.5, 1, 2, 4];
const FRAME_TIME = 1600; // ms a frame when it plays at speed 1
const SIZES = { least: 0.5, most: 3, factor: 1.15 };
const AROUND = 330; // px of the window that a notebook's and our own controls take
const SMALLEST = 0.75; // of a picture's own size; smaller, it could not be read from afar
const PATIENCE = 10_000; // ms until a question counts as lost
const BUSY =
  "The kernel has not answered for 10 seconds: it is busy, or it has ended. Then run the cells again, from the first one.";
const ENDED =
  "The kernel that computed this has ended: run the cells again, from the first one. Steps, and values that were here before, still work.";
const SETTLED = 600; // ms without a change, after which it is announced
const NOTE_TIME = 8000; // ms
const MOST_CACHED = 20_000;

/**
 * By how much a tall picture is made smaller, so that its sliders are seen with it.
 *
 * @param {number} high of the picture, in px
 * @param {number} room height of the window
 */
export function fitting(high, room) {
  return Math.min(1, Math.max((room - AROUND) / high, SMALLEST));
}

/** Whether the page shows slides, made by jupyterlab-slideshow. */
function presenting() {
  return document.body.getAttribute("data-jp-deck-mode") === "presenting";
}

/**
 * @param {{model: Model, el: HTMLElement}} context
 * @returns {() => void} takes everything away again
 */
export function render({ model, el }) {
  const ending = new AbortController();
  const listen = { signal: ending.signal };
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  const timers = new Map();
  const after = (/** @type {string} */ name, /** @type {number} */ time, /** @type {() => void} */ act) => {
    clearTimeout(timers.get(name));
    timers.set(name, setTimeout(() => (timers.delete(name), act()), time));
  };
  const stop = (/** @type {string} */ name) => (clearTimeout(timers.get(name)), timers.delete(name));

  // The data.
  /** @type {Map<number, Scene>} */
  const scenes = new Map();
  const learn = (/** @type {Scene[]} */ some) => {
    for (const one of some) {
      const known = scenes.get(one.id);
      if (known) known.note = one.note; // nothing else of a scene ever changes
      else scenes.set(one.id, one);
    }
  };
  learn(model.get("scenes") ?? []);
  /** @type {Map<string, Entry>} */
  const cache = new Map();
  /** @type {{key: string, entry: Entry}} */
  let latest = { key: "", entry: {} }; // an answer for what is not on the grid
  const entryOf = (/** @type {string} */ key) => {
    const entry =
      cache.get(key) ?? (latest.key === key ? latest.entry : model.get("states")?.(key));
    return entry && (entry.error || scenes.has(entry.state?.scene ?? -1)) ? entry : undefined;
  };
  const keep = (/** @type {string[]} */ opened, /** @type {string} */ tick, /** @type {Entry} */ entry) => {
    const key = keyOf(opened, tick);
    if (entry.error) return key; // it may pass: another time we ask again
    if (!onGrid(tick)) latest = { key, entry };
    else cache.delete(key), cache.set(key, entry);
    if (cache.size > MOST_CACHED) cache.delete(cache.keys().next().value ?? "");
    return key;
  };
  const exact = typeof model.get("states") !== "function"; // else there is nothing off the grid
  const controls = () => /** @type {Control[]} */ (model.get("controls") ?? []);
  const inputs = () => /** @type {Inputs} */ (model.get("inputs") ?? {});
  const opened = () => /** @type {string[]} */ (model.get("opened") ?? []);
  let queue = newQueue(Math.floor(Math.random() * 2 ** 40));
  /** @type {Scene | null} */
  let scene = null;
  /** @type {State | null} */
  let state = null;
  /** @type {Map<string, string>} */
  let texts = new Map();
  /** @type {Map<string, Drawn>} */
  let views = new Map();
  /** @type {Drawn | null} */
  let view = null;
  /** @type {string | null} */
  let chosen = null;
  /**
   * Where the reader goes when the next scene comes: to a box, which is to be seen at the same
   * place, and to the step at this time; the last step if it is null.
   * @typedef {{name?: string, box?: string | null, at: DOMRect | null, time: number | null, focus: boolean}} Going
   * @type {Going | null}
   */
  let going = null;
  let there = { opened: opened(), inputs: inputs() }; // of the last picture
  let news = "";
  let playing = false;
  let speed = 1;
  let size = 1;
  let frame = 1;
  let begun = false; // whether the view was stepped through, since it is shown

  // The page.
  const button = (/** @type {string} */ text, /** @type {string} */ label, /** @type {() => void} */ act, name = "") => {
    const made = make("button", `avx-button ${name}`.trim(), { type: "button" }, text);
    put(made, "aria-label", label);
    put(made, "title", label);
    made.addEventListener("click", act, listen);
    return made;
  };
  const tabs = make("div", "avx-tabs", { role: "radiogroup", "aria-label": "View" });
  const full = button("Full", "Full screen (f)", () => toggleFull(), "avx-full");
  const sizes = make(
    "div",
    "avx-sizes",
    {},
    button("A−", "Smaller (-)", () => resize(1 / SIZES.factor)),
    button("A+", "Larger (+)", () => resize(SIZES.factor)),
    full,
  );
  const list = make("datalist", "");
  const seek = make("input", "avx-seek", { type: "search", placeholder: "Find a group, function or leaf" });
  for (const [name, value] of Object.entries({ spellcheck: "false", "aria-label": "Find a group, function or leaf" })) {
    put(seek, name, value);
  }
  const search = make("div", "avx-search", { role: "search" }, seek, list);
  const groups = make("div", "avx-groups", { role: "group", "aria-label": "Open groups" });
  const sliders = make("div", "avx-controls");
  const play = button("Play", "Play (space)", () => setPlaying(!playing), "avx-play");
  const slider = make("input", "avx-steps", { type: "range", min: "1", step: "1" });
  put(slider, "aria-label", "Step");
  const where = make("span", "avx-where");
  const pace = make("select", "avx-speed", { "aria-label": "Speed", title: "Speed" });
  for (const one of SPEEDS) pace.append(make("option", "", { value: String(one) }, `${one}×`));
  pace.value = "1";
  const stepping = make(
    "div",
    "avx-stepping",
    { role: "group", "aria-label": "Steps" },
    button("⇤", "First step (Home)", () => go("first"), "avx-first"),
    button("←", "Back (left arrow)", () => go("back"), "avx-back"),
    play,
    button("→", "Forward (right arrow)", () => go("forward"), "avx-forward"),
    button("⇥", "Last step (End)", () => go("last"), "avx-last"),
    slider,
    where,
    pace,
  );
  const drawing = make("div", "avx-figure");
  const problem = make("div", "avx-error", { role: "alert" });
  const source = make("div", "avx-source", { role: "group", "aria-label": "Code" });
  const detail = make("div", "avx-detail", { role: "group", "aria-label": "Details" });
  const side = make("div", "avx-side", {}, source, detail);
  const rules = make("div", "avx-rules", { role: "group", "aria-label": "Chain rule" });
  const trouble = make("div", "avx-trouble", { role: "status" });
  const note = make("div", "avx-note", { role: "status" });
  const pathList = make("div", "avx-path-list");
  const paths = make("details", "avx-paths", {}, make("summary", "", {}, "Paths and their sum"), pathList);
  const live = make("div", "avx-live", { "aria-live": "polite" });
  const root = make(
    "div",
    "avx",
    { tabindex: "0", role: "group" },
    make("div", "avx-top", {}, tabs, search, sizes),
    sliders,
    stepping,
    groups,
    make(
      "div",
      "avx-main",
      {},
      make("div", "avx-left", {}, make("div", "avx-stage", {}, drawing, problem), rules),
      side,
    ),
    make("div", "avx-messages", {}, trouble, note),
    paths,
    live,
  );
  el.replaceChildren(root);

  // Painting.

  /** @param {Entry} entry */
  function paint(entry) {
    showProblem(entry.error ?? null);
    if (!entry.state) return;
    const fresh = scenes.get(entry.state.scene);
    if (!fresh) return;
    state = entry.state;
    texts = new Map(fresh.keys.map((key, place) => [key, entry.state?.texts[place] ?? ""]));
    there = { opened: opened(), inputs: inputs() };
    if (fresh !== scene) enter(fresh);
    view?.number(texts);
    showFrame();
    showChosen();
    say(trouble, state.words);
    showPaths();
    after("announce", SETTLED, announce);
  }

  /** @param {Problem | null} error */
  function showProblem(error) {
    if (!error?.text) error = null; // {} is what an unset Dict of traitlets sends
    const line = error?.line ? `line ${error.line}: ` : "";
    say(problem, error ? `${line}${error.text}` : "");
    root.classList.toggle("is-stale", error !== null);
    for (const row of source.querySelectorAll(".avx-line")) {
      const here = error !== null && row.getAttribute("data-number") === String(error.line);
      row.classList.toggle("avx-wrong", here);
    }
  }

  /** @param {Scene} fresh */
  function enter(fresh) {
    const before = scene;
    const focus = drawing.contains(document.activeElement)
      ? document.activeElement?.getAttribute("data-box")
      : null;
    const opens = chosen === null ? null : before?.details[chosen]?.opens;
    const folded = fresh.groups !== undefined;
    root.classList.toggle("is-folded", folded);
    scene = fresh;
    views = new Map();
    put(root, "aria-label", fresh.title);
    source.replaceChildren(
      ...fresh.source.map(({ number, text }) =>
        make(
          "div",
          "avx-line",
          { "data-number": String(number) },
          make("span", "avx-number", {}, String(number)),
          make("code", "", {}, text),
        ),
      ),
    );
    source.hidden = fresh.source.length === 0;
    tabs.replaceChildren(
      ...fresh.views.map((one, place) => {
        const tab = button(one.label, `${one.label} (${place + 1})`, () => choose(one.name), "avx-tab");
        put(tab, "role", "radio");
        return tab;
      }),
    );
    if (opens) {
      const same = Object.entries(fresh.details).find(([, one]) => one.opens === opens);
      chosen = same?.[0] ?? null;
    } else if (chosen !== null && (folded || !(chosen in fresh.details))) chosen = null;
    showView();
    showGroups();
    if (folded) return arrive(before);
    if (focus) (view?.boxes.get(focus) ?? root).focus({ preventScroll: true });
    if (before && fresh.note && fresh.note !== before.note) {
      say(note, fresh.note);
      after("note", NOTE_TIME, () => say(note, ""));
    }
  }

  /** In another scene of a folded graph: go to the step and the box that the reader wanted.
   *
   * @param {Scene | null} before
   */
  function arrive(before) {
    if (!scene) return;
    const [old, now] = [before?.opened ?? scene.opened, scene.opened];
    const [more, less] = [now.filter((one) => !old.includes(one)), old.filter((one) => !now.includes(one))];
    if (more.length) news = `${more.join(", ")} opened. `;
    else if (less.length) news = `${less.join(", ")} closed. `;
    if (going === null) return;
    const { name, box, at, time, focus } = going;
    going = null;
    const frames = scene.views[0]?.frames ?? [];
    if (before !== scene) setStep(time === null ? frames.length : frameAt(frames, time));
    const group = scene.groups?.find((one) => one.name === name || one.box === box);
    const target = group?.top ?? box ?? (name === undefined ? null : boxOf(scene, name));
    if (name !== undefined || box) chosen = group?.box ?? target;
    showChosen();
    const element = target ? view?.boxes.get(target) : undefined;
    if (!element) return;
    if (focus) element.focus({ preventScroll: true });
    if (at) {
      const after = element.getBoundingClientRect();
      drawing.scrollTop += after.top - at.top;
      drawing.scrollLeft += after.left + after.width / 2 - at.left - at.width / 2;
    }
    reveal(element);
  }

  /**
   * Scroll the picture alone, and only as far as needed.
   *
   * @param {Element} element
   */
  function reveal(element) {
    const [inner, outer] = [element.getBoundingClientRect(), drawing.getBoundingClientRect()];
    const around = 24; // px
    if (inner.top < outer.top || inner.bottom > outer.bottom) {
      drawing.scrollTop += inner.top < outer.top ? inner.top - outer.top - around : inner.bottom - outer.bottom + around;
    }
    if (inner.left < outer.left || inner.right > outer.right) {
      drawing.scrollLeft += inner.left < outer.left ? inner.left - outer.left - around : inner.right - outer.right + around;
    }
  }

  /** Where a picture is wider than its room, it begins in the middle of the page with its output. */
  function showOutput() {
    const [first] = [...(view?.boxes ?? [])].find(([box]) => box.startsWith("item-")) ?? [];
    const element = scene?.groups && first ? view?.boxes.get(first) : undefined;
    if (!element) return;
    const [inner, outer] = [element.getBoundingClientRect(), drawing.getBoundingClientRect()];
    drawing.scrollLeft += inner.left + inner.width / 2 - outer.left - outer.width / 2;
  }

  /** The groups that are open, which close by a click. */
  function showGroups() {
    groups.replaceChildren(
      ...(scene?.groups ?? []).map(({ name, box, top }) => {
        const tell = button(name, `Details of ${name}`, () => {
          pick(box);
          const element = top && view?.boxes.get(top);
          if (element) reveal(element);
        }, "avx-chip-name");
        return make("span", "avx-chip", {}, tell, button("×", `Close ${name}`, () => setOpened(name, false), "avx-chip-close"));
      }),
    );
    groups.hidden = groups.children.length === 0;
    search.hidden = scene?.groups === undefined;
  }

  function showView() {
    if (!scene) return;
    const name = model.get("view");
    const wanted = scene.views.find((one) => one.name === name) ?? scene.views[0];
    if (!wanted) return;
    const known = views.get(wanted.name) ?? drawn(wanted, scene.details, scene.groups !== undefined);
    views.set(wanted.name, known);
    view = known;
    if (drawing.firstChild !== known.svg) drawing.replaceChildren(known.svg);
    drawing.style.setProperty("--avx-wide", `${known.svg.getAttribute("width")}px`);
    const high = Number(known.svg.getAttribute("height"));
    drawing.style.setProperty("--avx-fit", fitting(high, window.innerHeight).toFixed(3));
    rules.style.setProperty("--avx-high", `${known.rulesHeight}px`);
    rules.hidden = known.rulesHeight === 0;
    scene.views.forEach((one, place) => {
      const tab = /** @type {HTMLElement | undefined} */ (tabs.children[place]);
      if (!tab) return;
      put(tab, "aria-checked", String(one === wanted));
      put(tab, "tabindex", one === wanted ? "0" : "-1");
    });
    known.number(texts);
    showFrame();
    showChosen();
  }

  function showFrame() {
    if (!view || !scene) return;
    const count = view.view.frames.length;
    frame = frameOf(model.get("step"), count);
    const now = view.view.frames[frame - 1];
    view.show(frame, new Set(state?.alarms));
    for (const row of source.querySelectorAll(".avx-line")) {
      const lit = now?.lines.includes(Number(row.getAttribute("data-number"))) ?? false;
      row.classList.toggle("avx-lit", lit);
      put(row, "aria-current", lit ? "step" : null);
    }
    const wanted = view.rules(frame, texts);
    if (wanted.length !== rules.children.length || wanted.some((one, i) => rules.children[i] !== one)) {
      rules.replaceChildren(...wanted);
    }
    slider.max = String(count);
    slider.value = String(frame);
    put(slider, "aria-valuetext", `step ${frame} of ${count}`);
    say(where, `step ${frame} of ${count}`);
  }

  /** Of a folded graph, which may be larger than the window: see what the step is about. */
  function follows() {
    const lit = (scene?.groups && view?.view.frames[frame - 1]?.lit) || [];
    for (const box of [...lit].reverse()) {
      const element = view?.boxes.get(box);
      if (element) reveal(element); // the group itself last
    }
  }

  function showNames() {
    const names = /** @type {string[]} */ (model.get("names") ?? []);
    if (names.length) {
      list.id = `avx-names-${queue.seq}`; // there may be several widgets in a page
      put(seek, "list", list.id);
    }
    list.replaceChildren(...names.map((value) => make("option", "", { value })));
  }

  function announce() {
    stop("announce");
    if (!view) return;
    const words = withNumbers(view.view.frames[frame - 1]?.words ?? "", texts);
    const begin = news;
    news = "";
    say(live, `${begin}step ${frame} of ${view.view.frames.length}: ${words}. ${state?.words ?? ""}`.trim());
  }

  function showChosen() {
    const folded = scene?.groups !== undefined;
    const known = chosen !== null && (folded || view?.boxes.has(chosen)) ? scene?.details[chosen] : undefined;
    const marked = scene?.groups?.find((one) => one.box === chosen && !view?.boxes.has(one.box));
    for (const [name, element] of view?.boxes ?? []) {
      put(element, "aria-pressed", String(name === (marked?.top ?? chosen)));
    }
    detail.hidden = known === undefined && !folded;
    if (!known && folded) {
      put(detail, "data-shows", null);
      detail.replaceChildren("Click a group to open it, and its name above the picture to see what is known about it.");
      return;
    }
    if (!known) {
      put(detail, "data-shows", null);
      detail.replaceChildren();
      return;
    }
    const lines = known.lines.map((line) => withNumbers(line, texts));
    const open = known.opens !== null && opened().includes(known.opens);
    const sign = JSON.stringify([known.title, lines.length, known.opens, open]);
    if (detail.getAttribute("data-shows") !== sign || !detail.firstChild) {
      const focused = detail.contains(document.activeElement);
      put(detail, "data-shows", sign);
      const name = known.opens;
      const close = button("×", "Close the details (Escape)", () => pick(null), "avx-close");
      detail.replaceChildren(
        make("div", "avx-detail-head", {}, make("strong", "", {}, known.title), close),
        ...lines.map(() => make("div", "avx-detail-line")),
      );
      if (known.choice) detail.append(whichOf(known.choice));
      else if (name !== null) {
        detail.append(
          button(
            open ? `Close ${name}` : `Open ${name}`,
            open ? `Show ${name} as one ${folded ? "box" : "oval"}` : `Show the operations inside ${name}`,
            () => setOpened(name, !open),
            "avx-open",
          ),
        );
      }
      if (focused) /** @type {HTMLElement} */ (detail.lastElementChild)?.focus?.();
    }
    lines.forEach((line, place) => {
      const row = detail.children[place + 1];
      if (row) say(row, line);
    });
  }

  /**
   * Of equal parts, which one to open.
   *
   * @param {Choice} choice
   */
  function whichOf({ before, after: end, first, last }) {
    const field = make("input", "avx-field avx-which", { type: "number", min: String(first), max: String(last), value: String(first) });
    const open = () => {
      const number = Number(field.value);
      const right = field.value !== "" && Number.isInteger(number) && first <= number && number <= last;
      put(field, "aria-invalid", right ? null : "true");
      if (right) setOpened(`${before}${number}${end}`, true);
    };
    field.addEventListener("keydown", (event) => event.key === "Enter" && open(), listen);
    const label = make("label", "", {}, `Open which? ${first} … ${last} `, field);
    return make("div", "avx-choose", {}, label, button("Open", "Open this one", open, "avx-open"));
  }

  function showPaths() {
    const groups = scene?.paths ?? [];
    paths.hidden = groups.length === 0;
    const rows = groups.flatMap((group) => [
      { name: "avx-path-title", text: group.title },
      ...group.rows.map((row) => ({ name: "avx-path", text: withNumbers(row, texts) })),
      ...(group.sum ? [{ name: "avx-path-sum", text: withNumbers(group.sum, texts) }] : []),
    ]);
    while (pathList.children.length > rows.length) pathList.lastChild?.remove();
    rows.forEach(({ name, text }, place) => {
      const row = pathList.children[place] ?? pathList.appendChild(make("div", ""));
      if (row.className !== name) row.className = name;
      say(row, text);
    });
  }

  // The controls of the inputs.

  /** @type {(() => void)[]} */
  let showInputs = [];
  let buildEnding = new AbortController();

  function buildControls() {
    buildEnding.abort();
    buildEnding = new AbortController();
    const here = { signal: buildEnding.signal };
    showInputs = [];
    sliders.replaceChildren(
      ...controls().map((control) => {
        const { name } = control;
        const current = () => inputs()[name] ?? control.value;
        const label = make("span", "avx-name", {}, name);
        if (control.kind === "checkbox") {
          const box = make("input", "", { type: "checkbox", "aria-label": name });
          box.addEventListener("change", () => enterInput(name, box.checked), here);
          showInputs.push(() => void (box.checked = Boolean(current())));
          return make("label", "avx-control avx-check", {}, box, label);
        }
        if (control.kind === "choice") {
          const list = make("select", "", { "aria-label": name });
          for (const [place, option] of (control.options ?? []).entries()) {
            list.append(make("option", "", { value: String(place) }, shown(option)));
          }
          const take = () => enterInput(name, valueAt(control, Number(list.value)));
          list.addEventListener("change", take, here);
          showInputs.push(() => void (list.value = String(positionOf(control, current()))));
          return make("label", "avx-control avx-choice", {}, label, list);
        }
        const range = make("input", "avx-range", { type: "range", min: "0", step: "1" });
        range.max = String(countOf(control) - 1);
        put(range, "aria-label", name);
        const field = make("input", "avx-field", { type: "text", inputmode: "decimal" });
        put(field, "aria-label", `${name}, exact value`);
        put(field, "size", "7");
        put(field, "spellcheck", "false");
        range.addEventListener(
          "input",
          () => enterInput(name, valueAt(control, Number(range.value))),
          here,
        );
        const why = make("span", "avx-wrong", { role: "alert" });
        const complain = (/** @type {string} */ said) => {
          put(field, "aria-invalid", said ? "true" : null);
          say(why, said);
        };
        const typed = () => {
          const value = parsed(field.value);
          complain(wrong(control, field.value));
          if (value === null || why.textContent || shown(current()) === field.value.trim()) return;
          enterInput(name, exact ? value : valueAt(control, positionOf(control, value)));
        };
        field.addEventListener("change", typed, here);
        field.addEventListener(
          "keydown",
          (event) => {
            if (event.key === "Enter") typed();
            else if (event.key === "Escape") show(true);
          },
          here,
        );
        field.addEventListener("blur", () => show(true), here);
        const show = (always = false) => {
          const text = shown(current());
          range.value = String(positionOf(control, current()));
          put(range, "aria-valuetext", text);
          if (always || document.activeElement !== field || !wrong(control, field.value)) {
            if (field.value !== text) field.value = text;
            complain("");
          }
        };
        showInputs.push(() => show());
        return make("div", "avx-control", {}, label, range, field, why);
      }),
    );
    sliders.hidden = controls().length === 0;
    showInputs.forEach((show) => show());
  }

  /**
   * @param {string} name
   * @param {Value} value
   */
  function enterInput(name, value) {
    if (scene?.groups) going = { ...leaving(null), focus: false };
    model.set("inputs", { ...inputs(), [name]: value }); // its change event does the rest
    save();
  }

  function save() {
    // At once: ipywidgets lets one message wait for another, and knows that Python's echo of an
    // earlier one is old only while the later one is on its way.
    model.save_changes();
  }

  // Requests.

  let asked = 0;
  const soon = () => {
    if (!asked) asked = requestAnimationFrame(() => ((asked = 0), follow()));
  };

  /** Go to where the controls are. */
  function follow() {
    showInputs.forEach((show) => show());
    const [now, open] = [inputs(), opened()];
    const tick = tickOf(controls(), now);
    const key = keyOf(open, tick);
    const entry = entryOf(key);
    const turn = moved(queue, { key, tick, opened: open, inputs: now }, entry !== undefined);
    take(turn, entry);
  }

  /**
   * @param {Turn} turn
   * @param {Entry} [entry]
   */
  function take(turn, entry) {
    queue = turn.queue;
    if (turn.paint && entry) paint(entry);
    if (turn.send) {
      const { seq, tick, opened, inputs } = turn.send;
      const unanswered = (/** @type {string} */ text) => {
        const next = lost(queue);
        if (!next.send) showProblem({ line: null, text }); // until something is painted
        take(next);
      };
      try {
        model.send(/** @type {Ask} */ ({ type: "tick", seq, tick, opened, inputs }));
        after("lost", PATIENCE, () => unanswered(BUSY));
      } catch {
        unanswered(ENDED); // JupyterLab throws where the kernel that knew this widget is gone
      }
    } else if (queue.flight === null) stop("lost");
    showBusy();
  }

  function showBusy() {
    const busy = queue.flight !== null || model.get("busy") === true;
    if (!busy) {
      stop("busy");
      root.classList.remove("is-busy");
    } else if (!timers.has("busy")) after("busy", 200, () => root.classList.add("is-busy"));
  }

  /** @param {Answer | States | Found} message */
  function hear(message) {
    if (message.type === "found") {
      if (message.seq === queue.seq) goTo(message);
    } else if (message.type === "states") {
      learn(message.scenes ?? []);
      for (const [tick, one] of Object.entries(message.states)) {
        keep(message.opened, tick, { state: one });
      }
      const entry = entryOf(queue.current);
      if (entry && queue.shown !== queue.seq) take(filled(queue), entry);
    } else if (message.type === "answer") {
      if (message.scene) learn([message.scene]);
      const entry = message.error ? { error: message.error } : { state: message.state };
      const key = keyOf(message.opened, message.tick);
      const turn = answered(queue, message.seq, key);
      if (message.back) {
        going = null;
        take({ ...turn, paint: false });
        if (key === queue.current) stay(message.back);
        return;
      }
      if (message.inputs && key === queue.current) {
        // There is nothing at this point, but at another one.
        const tick = tickOf(controls(), message.inputs);
        queue = { ...turn.queue, current: keyOf(message.opened, tick) };
        model.set("inputs", message.inputs);
        take({ ...turn, queue }, entry);
        return;
      }
      keep(message.opened, message.tick, entry);
      take(turn, entry);
    }
  }

  /** The trait changed, or is there at the start. */
  function hearState() {
    const current = /** @type {Current | null} */ (model.get("state"));
    if (!current) return;
    const tick = current.tick ?? tickOf(controls(), inputs());
    const key = keyOf(current.opened ?? opened(), tick);
    const entry = { state: current };
    if (!scenes.has(current.scene)) return;
    keep(current.opened ?? opened(), tick, entry);
    if (key === queue.current || scene === null) {
      take(filled({ ...queue, shown: queue.seq - 1 }), entry);
    }
  }

  // What the reader does.

  /** @param {"first" | "back" | "forward" | "last"} action */
  function go(action) {
    setPlaying(false);
    if (view) setStep(stepAfter(action, frame, view.view.frames.length));
  }

  /** @param {number} step */
  function setStep(step) {
    begun = true;
    model.set("step", step);
    save();
  }

  /** @param {boolean} on */
  function setPlaying(on) {
    if (!view) return;
    const count = view.view.frames.length;
    playing = on;
    stop("play");
    say(play, on ? "Pause" : "Play");
    put(play, "aria-label", on ? "Pause (space)" : "Play (space)");
    put(play, "title", on ? "Pause (space)" : "Play (space)");
    if (!on) return;
    if (frame >= count) setStep(1);
    after("play", FRAME_TIME / speed, playOn);
  }

  function playOn() {
    if (!view) return;
    const count = view.view.frames.length;
    if (frame < count) setStep(frame + 1);
    if (frame < count) after("play", FRAME_TIME / speed, playOn);
    else setPlaying(false);
  }

  /** @param {ViewName | undefined} name */
  function choose(name) {
    if (!name) return;
    setPlaying(false);
    begun = false;
    model.set("view", name);
    save();
  }

  /** @param {string | null} box */
  function pick(box) {
    const before = chosen;
    chosen = box === null || box === chosen ? null : box;
    const inside = detail.contains(document.activeElement);
    showChosen();
    if (chosen === null && inside) {
      ((before !== null && view?.boxes.get(before)) || root).focus({ preventScroll: true });
    }
  }

  /**
   * @param {string} name
   * @param {boolean} open
   */
  function setOpened(name, open) {
    const group = scene?.groups?.find((one) => one.name === name);
    const others = opened().filter((one) => !(group?.closes ?? [name]).includes(one));
    if (scene?.groups) {
      const box = boxOf(scene, name);
      going = { ...leaving(box === null ? null : view?.boxes.get(box)), name };
    }
    model.set("opened", open ? [...others, name] : others);
    save();
  }

  /**
   * How it is before something opens or closes.
   *
   * @param {Element | null | undefined} element that is to stay where it is
   * @returns {Going}
   */
  function leaving(element) {
    const frames = view?.view.frames ?? [];
    return {
      at: element?.getBoundingClientRect() ?? null,
      time: frame >= frames.length ? null : (frames[frame - 1]?.time ?? null),
      focus: true,
    };
  }

  /**
   * A click on a box of a folded graph, or Enter.
   *
   * @param {string} box
   */
  function touch(box) {
    const known = scene?.details[box];
    if (!known?.opens || !scene?.groups) return pick(box);
    if (!known.choice) return setOpened(known.opens, !box.startsWith("group-"));
    if (chosen !== box) pick(box);
    /** @type {HTMLInputElement | null} */ (detail.querySelector(".avx-which"))?.select();
  }

  /** @param {string} words */
  function find(words) {
    if (words.trim()) model.send(/** @type {Seek} */ ({ type: "seek", seq: queue.seq, words }));
  }

  /** @param {Found} found */
  function goTo(found) {
    if (found.name === null) {
      const where = exact ? "here" : "in this page";
      say(note, `Nothing ${where} is called “${found.words}”.`);
      after("note", NOTE_TIME, () => say(note, ""));
      return;
    }
    if (!found.box) {
      say(note, `“${found.name}” is not in this part of the graph.`);
      after("note", NOTE_TIME, () => say(note, ""));
      return;
    }
    say(note, "");
    going = { ...leaving(null), box: found.box };
    const same = scene && keyOf(found.opened ?? [], "") === keyOf(scene.opened, "");
    if (same && tickOf(controls(), found.inputs ?? {}) === tickOf(controls(), inputs())) return arrive(scene);
    model.set("opened", found.opened);
    model.set("inputs", found.inputs);
    save();
  }

  /** @param {string} why what was asked for cannot be */
  function stay(why) {
    model.set("opened", there.opened);
    model.set("inputs", there.inputs);
    follow();
    say(note, why);
    after("note", NOTE_TIME, () => say(note, ""));
  }

  /** @param {number} factor */
  function resize(factor) {
    size = Math.min(Math.max(size * factor, SIZES.least), SIZES.most);
    if (Math.abs(size - 1) < 0.01) size = 1;
    root.style.setProperty("--avx-size", size.toFixed(3));
  }

  function toggleFull() {
    if (document.fullscreenElement === root) void document.exitFullscreen();
    else if (root.classList.contains("is-maximised")) maximise(false);
    else if (!document.fullscreenEnabled) maximise(true);
    else root.requestFullscreen().catch(() => !ending.signal.aborted && maximise(true));
  }

  /** @param {boolean} on */
  function maximise(on) {
    root.classList.toggle("is-maximised", on);
    showFull();
  }

  function showFull() {
    const on = document.fullscreenElement === root || root.classList.contains("is-maximised");
    root.classList.toggle("is-slide", presenting());
    root.classList.toggle("is-full", on || presenting());
    say(full, on ? "Leave" : "Full");
    put(full, "aria-label", on ? "Leave full screen (f)" : "Full screen (f)");
    put(full, "title", on ? "Leave full screen (f)" : "Full screen (f)");
    put(full, "aria-pressed", String(on));
  }

  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const modified = event.ctrlKey || event.altKey || event.metaKey;
    const action = keyAction(event.key, placeOf(target), modified);
    if (action === null) return;
    if (action === "close" && chosen === null && !root.classList.contains("is-maximised")) return;
    const remote = event.key === "PageUp" || event.key === "PageDown";
    if (remote && view && stepOfRemote(event.key, frame, view.view.frames.length, true) === null) {
      return; // the page moves on
    }
    event.preventDefault();
    event.stopPropagation();
    const all = scene?.views ?? [];
    const at = all.findIndex((one) => one.name === view?.view.name);
    if (action === "first" || action === "back" || action === "forward" || action === "last") go(action);
    else if (action === "play") setPlaying(!playing);
    else if (action === "full") toggleFull();
    else if (action === "larger") resize(SIZES.factor);
    else if (action === "smaller") resize(1 / SIZES.factor);
    else if (action === "choose") touch(target.getAttribute("data-box") ?? "");
    else if (action === "close") chosen === null ? maximise(false) : pick(null);
    else if (action === "view-before" || action === "view-after") {
      const next = at + (action === "view-after" ? 1 : -1);
      choose(all[(next + all.length) % all.length]?.name);
      /** @type {HTMLElement | null} */ (tabs.querySelector("[aria-checked=true]"))?.focus();
    } else choose(all[Number(action.slice(5)) - 1]?.name);
  }

  /**
   * On a slide, a presenter's remote steps the widget, wherever the focus is, before it turns to
   * another slide.
   *
   * @param {KeyboardEvent} event
   */
  function onRemote(event) {
    if (!presenting() || !view || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key !== "PageUp" && event.key !== "PageDown") return;
    const target = /** @type {Element} */ (event.target);
    const inside = root.contains(target);
    if (!inside && (target.closest("input, textarea, select, [contenteditable=true]") || !alone())) {
      return;
    }
    const next = stepOfRemote(event.key, frame, view.view.frames.length, begun);
    if (next === null) {
      // The notebook hears no keys from inside of us.
      if (inside) /** @type {HTMLElement | null} */ (el.closest(".jp-Cell"))?.focus();
      return;
    }
    setPlaying(false);
    setStep(next);
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  /** Whether no other Explorer stands on the slide. */
  function alone() {
    const seen = { opacityProperty: true, visibilityProperty: true };
    const all = [...document.querySelectorAll(".avx")].filter((one) => one.checkVisibility(seen));
    return all.length === 1 && all[0] === root;
  }

  // The theme: given, or JupyterLab's, or the reader's system's.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const showTheme = () => {
    const given = el.closest("[data-theme]")?.getAttribute("data-theme");
    const lab = document.body.getAttribute("data-jp-theme-light");
    const isDark =
      given === "dark" || (given !== "light" && (lab === null ? dark.matches : lab === "false"));
    root.classList.toggle("av-dark", isDark);
    root.classList.toggle("av-light", !isDark);
  };
  const begins = new ResizeObserver(() => {
    if (!scene || !drawing.clientWidth) return; // a widget may be made before there is a place for it
    begins.disconnect();
    showOutput();
  });
  begins.observe(drawing);
  const watching = new MutationObserver(() => (showTheme(), showFull()));
  watching.observe(document.body, {
    attributeFilter: ["data-jp-theme-light", "data-theme", "data-jp-deck-mode"],
  });
  watching.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  watching.observe(el, { attributeFilter: ["data-theme"] });
  dark.addEventListener("change", showTheme, listen);

  root.addEventListener("keydown", onKey, listen);
  window.addEventListener("keydown", onRemote, { ...listen, capture: true }); // before JupyterLab
  // Else JupyterLab takes keys for its own: x cuts the cell, and arrows do not reach a slider. It
  // looks for this from the focused element upwards, but that element itself comes first.
  const ours = "data-lm-suppress-shortcuts";
  const mark = (/** @type {FocusEvent} */ event, /** @type {string | null} */ value) => {
    if (event.target instanceof Element) put(event.target, ours, value);
  };
  root.addEventListener("focusin", (event) => mark(event, "true"), listen);
  root.addEventListener("focusout", (event) => mark(event, null), listen);
  // But Ctrl and Cmd with a letter are the notebook's: saving it, above all.
  window.addEventListener(
    "keydown",
    (event) => {
      if (!(event.target instanceof Element) || !root.contains(event.target)) return;
      if (event.ctrlKey || event.metaKey) put(event.target, ours, null);
      else if (event.target === document.activeElement) put(event.target, ours, "true");
    },
    { ...listen, capture: true }, // before JupyterLab
  );
  drawing.addEventListener(
    "click",
    (event) => {
      const box = /** @type {Element} */ (event.target).closest("[data-box]");
      const name = box?.getAttribute("data-box") ?? "";
      if (view?.boxes.has(name)) touch(name);
    },
    listen,
  );
  seek.addEventListener("keydown", (event) => event.key === "Enter" && find(seek.value), listen);
  seek.addEventListener(
    "input",
    (event) => {
      // A name that was chosen from the list, not typed.
      if (!(event instanceof InputEvent) || event.inputType === "insertReplacementText") find(seek.value);
    },
    listen,
  );
  slider.addEventListener(
    "input",
    () => {
      setPlaying(false);
      setStep(Number(slider.value));
    },
    listen,
  );
  pace.addEventListener(
    "change",
    () => {
      speed = Number(pace.value);
      if (playing) after("play", FRAME_TIME / speed, playOn);
    },
    listen,
  );
  document.addEventListener("fullscreenchange", showFull, listen);

  /** @type {[string, (...args: any[]) => void][]} */
  const heard = [
    ["change:inputs", soon],
    ["change:opened", soon],
    ["change:step", () => (showFrame(), follows(), announce())],
    ["change:names", showNames],
    ["change:view", () => (showView(), announce())],
    ["change:scenes", () => (learn(model.get("scenes") ?? []), hearState())],
    ["change:state", hearState],
    ["change:error", () => showProblem(model.get("error") ?? null)],
    ["change:busy", showBusy],
    ["change:controls", () => (buildControls(), soon())],
    ["msg:custom", hear],
  ];
  for (const [event, callback] of heard) model.on(event, callback);

  showTheme();
  resize(1);
  buildControls();
  showNames();
  hearState();
  follow();
  showProblem(model.get("error") ?? null);
  showFull();
  announce();

  return () => {
    ending.abort();
    buildEnding.abort();
    watching.disconnect();
    begins.disconnect();
    for (const [event, callback] of heard) model.off(event, callback);
    if (asked) cancelAnimationFrame(asked);
    for (const timer of timers.values()) clearTimeout(timer);
    timers.clear();
    if (document.fullscreenElement === root) void document.exitFullscreen();
    root.remove();
  };
}

/**
 * @param {Element} target
 * @returns {"text" | "list" | "slider" | "button" | "tab" | "box" | "other"}
 */
function placeOf(target) {
  if (target instanceof HTMLInputElement) {
    if (target.type === "range") return "slider";
    return target.type === "checkbox" ? "button" : "text";
  }
  if (target instanceof HTMLSelectElement) return "list";
  if (target instanceof HTMLTextAreaElement) return "text";
  if (target.getAttribute("role") === "radio") return "tab";
  if (target instanceof HTMLButtonElement || target.tagName === "SUMMARY") return "button";
  return target.hasAttribute("data-box") ? "box" : "other";
}

export default { render };
