/**
 * Keeps live widgets in the saved notebook, so that it opens again as it was seen: alive, without
 * a kernel.
 *
 * JupyterLab prefers a widget's view to the picture that stands beside it in the same output, but
 * stores what the view needs only where "Save Widget State Automatically" is set, and then forgets
 * it at the first save without a kernel. So whenever a notebook is saved, what its outputs show
 * is written where JupyterLab, Notebook 7, nbconvert and nbclient keep it: in `metadata.widgets`.
 *
 * @typedef {{model_name: string, model_module: string, model_module_version: string,
 *   state: Record<string, unknown>, buffers?: object[]}} Stored a widget, as a notebook keeps it
 * @typedef {Record<string, Stored>} Widgets by model id
 */

const VIEW = "application/vnd.jupyter.widget-view+json";
const STATE = "application/vnd.jupyter.widget-state+json";
const REFERENCE = /"(?:IPY_MODEL_|anywidget:)([^"]+)"/g;

/**
 * The widgets that a notebook's outputs show, and those that these are made of.
 *
 * @param {any[]} cells of a notebook, as they stand in its file
 * @param {Widgets} widgets that are known
 * @returns {Widgets}
 */
export function shownWidgets(cells, widgets) {
  const outputs = cells.flatMap((cell) => cell.outputs ?? []);
  const waiting = outputs.map((output) => output.data?.[VIEW]?.model_id);
  /** @type {Widgets} */
  const found = {};
  for (const id of waiting) {
    const widget = widgets[id];
    if (!widget || found[id]) continue;
    found[id] = widget;
    for (const [, other] of JSON.stringify(widget.state).matchAll(REFERENCE)) waiting.push(other);
  }
  return found;
}

/**
 * A widget as a notebook keeps it: bytes stand beside its state, as base64.
 *
 * @param {any} model
 * @returns {Stored}
 */
function stored(model) {
  const state = model.serialize(model.get_state(true));
  const buffers = [];
  for (const [name, value] of Object.entries(state)) {
    if (!(value instanceof DataView)) continue;
    delete state[name];
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
    buffers.push({ data: btoa(letters), encoding: "base64", path: [name] });
  }
  return {
    model_name: model.name,
    model_module: model.module,
    model_module_version: model.get("_model_module_version"),
    state,
    ...(buffers.length && { buffers }),
  };
}

/**
 * All widgets of a manager. What it would store itself are the live ones alone.
 *
 * @param {any} manager JupyterLab's
 * @returns {Widgets}
 */
function widgetsOf(manager) {
  const { state } = manager.get_state_sync({ drop_defaults: true });
  for (const [id, model] of manager._modelsSync ?? []) state[id] ??= stored(model);
  return state;
}

/**
 * Shows stored widgets whose output gave up: where the kernel answers before a notebook's own
 * widgets are read, ipywidgets says "model not found" of what is drawn meanwhile, and stays with it.
 *
 * @param {any} manager JupyterLab's; all stored widgets are known to it, since one of them is here
 */
async function showAgain(manager) {
  if (!manager.restoredStatus) {
    await new Promise((go) => manager.restored.connect(() => go(undefined)));
  }
  const places = [...manager.context.model.cells].flatMap(({ outputs }) =>
    Array.from({ length: outputs?.length ?? 0 }, (_, place) => ({
      outputs,
      place,
      id: outputs.get(place).data[VIEW]?.model_id,
    })).filter(({ id }) => id && manager.has_model(id)),
  );
  const models = await Promise.all(places.map(({ id }) => manager.get_model(id)));
  await new Promise((go) => setTimeout(go)); // what draws them had waited for the same
  const notebook = manager.context?.model;
  const dirty = notebook?.dirty;
  places.forEach(({ outputs, place, id }, nth) => {
    const { comm_live, views } = models[nth];
    const output = outputs.isDisposed ? undefined : outputs.get(place);
    if (comm_live || Object.keys(views ?? {}).length || output?.data[VIEW]?.model_id !== id) return;
    outputs.set(place, output.toJSON());
  });
  if (notebook) notebook.dirty = dirty;
}

/** @type {WeakSet<object>} */
const kept = new WeakSet();

/**
 * Anywidget calls this once a widget, before it is seen; where the page is not JupyterLab's, it
 * does nothing.
 *
 * @param {{model: {widget_manager?: any}}} given
 */
export function initialize({ model }) {
  const manager = model.widget_manager;
  const context = manager?.context;
  if (!context?.saveState?.connect || !manager.get_state_sync || kept.has(context)) return;
  kept.add(context);
  showAgain(manager);
  context.saveState.connect((/** @type {unknown} */ _, /** @type {string} */ how) => {
    if (how !== "started" || manager.isDisposed) return;
    const notebook = context.model;
    const before = notebook.getMetadata("widgets")?.[STATE]?.state;
    const cells = notebook.toJSON().cells;
    const state = shownWidgets(cells, { ...before, ...widgetsOf(manager) });
    if (Object.keys(state).length) {
      const all = { version_major: 2, version_minor: 0, state };
      notebook.setMetadata("widgets", { [STATE]: all });
    } else if (before) notebook.deleteMetadata("widgets");
  });
}

export default { initialize, render() {} };
