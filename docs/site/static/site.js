/**
 * The site's widgets: each is an image until the reader comes near it. Then a script brings its
 * data, and explorer.js or a row of figures takes the image's place.
 */
(() => {
  "use strict";

  /**
   * A picture for each position of some sliders, and what it says in words.
   *
   * @typedef {{name: string, values: number[], at: number}} Axis
   * @typedef {object} Figures
   * @property {Axis[]} controls
   * @property {string[]} lines of all drawings
   * @property {Record<string, {rows: number[], words: string}>} figures by tick, "3|0"
   */

  const PACE = 600; // ms a step, while it plays

  /** @type {Map<string, HTMLElement>} */
  const waiting = new Map();

  /**
   * @param {string} packed base64 of gzip of JSON
   * @returns {Promise<any>}
   */
  const unpacked = (packed) => {
    const bytes = Uint8Array.from(atob(packed), (one) => one.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  };

  /**
   * A widget's data came.
   *
   * @param {string} name
   * @param {string} packed
   */
  async function take(name, packed) {
    const element = waiting.get(name);
    waiting.delete(name);
    if (!element) return;
    const data = await unpacked(packed);
    const { render, staticModel } = /** @type {any} */ (window).autogradViz;
    if (element.dataset.kind === "figures") showFigures(element, data);
    else {
      data.scenes = data.scenes.map((/** @type {number[]} */ row) =>
        JSON.parse(row.map((place) => data.pieces[place]).join("")),
      );
      element.replaceChildren();
      render({ model: staticModel(data), el: element });
    }
    element.classList.add("is-live");
  }

  /** @param {HTMLElement} element */
  function ask(element) {
    const { live = "", source = "" } = element.dataset;
    waiting.set(live, element);
    const script = document.createElement("script");
    script.src = source;
    document.head.append(script);
  }

  /**
   * @param {HTMLElement} element with the present figure's image in it
   * @param {Figures} data
   */
  function showFigures(element, data) {
    const image = /** @type {HTMLImageElement} */ (element.querySelector("img"));
    const root = document.createElement("div");
    root.className = "avx avp";
    const controls = document.createElement("div");
    controls.className = "avx-controls";
    const positions = data.controls.map((control) => control.at);
    let address = "";
    let turn = 0;
    const show = async () => {
      const mine = ++turn;
      const figure = data.figures[positions.join("|")];
      if (!figure) return;
      const drawing = figure.rows.map((row) => data.lines[row]).join("\n");
      const next = URL.createObjectURL(new Blob([drawing], { type: "image/svg+xml" }));
      const trial = new Image();
      trial.src = next;
      await trial.decode().catch(() => {});
      if (mine !== turn) return URL.revokeObjectURL(next); // a later one is on its way
      image.src = next;
      image.alt = figure.words;
      URL.revokeObjectURL(address);
      address = next;
    };
    data.controls.forEach((control, place) => {
      const label = document.createElement("label");
      label.className = "avx-control";
      const name = document.createElement("span");
      name.className = "avx-name";
      name.textContent = control.name;
      const range = document.createElement("input");
      range.type = "range";
      range.className = "avx-range";
      range.min = "0";
      range.max = String(control.values.length - 1);
      range.value = String(control.at);
      const field = document.createElement("output");
      field.className = "avp-value";
      const say = () => {
        field.textContent = String(control.values[positions[place] ?? 0]);
        range.setAttribute("aria-valuetext", field.textContent);
      };
      range.addEventListener("input", () => {
        positions[place] = Number(range.value);
        say();
        void show();
      });
      say();
      label.append(name, range, field);
      if (control.values.length < 2) return;
      controls.append(label);
      if (control.name === "step") controls.append(player(range));
    });
    const frame = document.createElement("div");
    frame.className = "av-frame";
    frame.append(image);
    root.append(controls, frame);
    element.replaceChildren(root);
    themed.add(root);
    showTheme();
  }

  /**
   * A button that moves a slider step by step to its end.
   *
   * @param {HTMLInputElement} range
   */
  function player(range) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "avx-button avx-play";
    let timer = 0;
    const play = (/** @type {boolean} */ on) => {
      clearInterval(timer);
      timer = on ? setInterval(step, PACE) : 0;
      button.textContent = on ? "Pause" : "Play";
    };
    const go = (/** @type {number} */ place) => {
      range.value = String(place);
      range.dispatchEvent(new Event("input"));
    };
    const step = () => {
      if (range.value === range.max) play(false);
      else go(Number(range.value) + 1);
    };
    button.addEventListener("click", () => {
      if (!timer && range.value === range.max) go(0); // to see the walk again
      play(!timer);
    });
    range.addEventListener("pointerdown", () => play(false));
    play(false);
    return button;
  }

  /** The figures' roots, which have the Explorer's colours. @type {Set<HTMLElement>} */
  const themed = new Set();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const showTheme = () => {
    const given = document.body.dataset.theme;
    const isDark = given === "dark" || (given !== "light" && dark.matches);
    for (const root of themed) {
      root.classList.toggle("av-dark", isDark);
      root.classList.toggle("av-light", !isDark);
    }
  };

  /** What scrolls can be reached from the keyboard. */
  const reachable = () => {
    for (const element of document.querySelectorAll("article :is(pre, .table-wrapper, .av-formula, .av-frame)")) {
      if (element.scrollWidth > element.clientWidth) element.setAttribute("tabindex", "0");
      else element.removeAttribute("tabindex");
    }
  };

  /** @type {any} */ (window).autogradVizPage = { take };

  addEventListener("DOMContentLoaded", () => {
    const near = new IntersectionObserver(
      (entries) => {
        for (const { isIntersecting, target } of entries) {
          if (!isIntersecting) continue;
          near.unobserve(target);
          ask(/** @type {HTMLElement} */ (target));
        }
      },
      { rootMargin: "800px" },
    );
    for (const element of document.querySelectorAll(".av-live")) near.observe(element);
    new MutationObserver(showTheme).observe(document.body, { attributeFilter: ["data-theme"] });
    dark.addEventListener("change", showTheme);
    addEventListener("resize", reachable);
    reachable();
  });
})();
