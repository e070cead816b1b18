/** Keys: those of the model while they are held, those of the page once. */

const WORDS = {
  ArrowLeft: "Left arrow",
  ArrowRight: "Right arrow",
  ArrowUp: "Up arrow",
  ArrowDown: "Down arrow",
};
const GLYPHS = {
  ArrowLeft: "←",
  ArrowRight: "→",
  ArrowUp: "↑",
  ArrowDown: "↓",
  ShiftLeft: "⇧",
  ShiftRight: "⇧",
};

let layout = null; // what is printed on the keys of this keyboard, where the browser says

/** Ask the browser what is printed on the keys. */
export async function learnLayout() {
  layout = (await navigator.keyboard?.getLayoutMap?.().catch(() => null)) ?? null;
}

/**
 * What is printed on a key.
 * @param {string} code Its place, as in `KeyboardEvent.code`.
 * @returns {string}
 */
export function keyCap(code) {
  const printed = layout?.get(code)?.toUpperCase();
  return GLYPHS[code] ?? printed ?? code.replace(/^(Key|Digit|Numpad)(?=.)/, "");
}

/**
 * How a key is called.
 * @param {string} code
 * @returns {string}
 */
export function keyWord(code) {
  return WORDS[code] ?? keyCap(code);
}

/**
 * The keys that steer.
 * @param {object} steering As the model has it.
 * @returns {Map<string, [string, number | string][]>} What each key holds.
 */
export function steeringKeys(steering) {
  const keys = new Map();
  for (const control of [...steering.axes, ...steering.choices]) {
    for (const [code, value] of Object.entries(control.keys)) {
      keys.set(code, [...(keys.get(code) ?? []), [control.name, value]]);
    }
  }
  return keys;
}

/** Listens to the keyboard, but not to what is typed into a field. */
export class Keyboard {
  #steering = new Map();
  #commands = new Map();
  #controls = null;

  constructor() {
    addEventListener("keydown", (event) => this.#down(event));
    addEventListener("keyup", (event) => this.#up(event));
    addEventListener("blur", () => this.#controls?.releaseAll());
    addEventListener("focusin", ({ target }) => takesText(target) && this.#controls?.releaseAll());
    document.addEventListener("visibilitychange", () => document.hidden && this.#controls?.releaseAll());
  }

  /**
   * @param {Map<string, [string, number | string][]>} keys Those that steer: they come first.
   * @param {import("./controls.js").Controls} controls What they hold.
   */
  steer(keys, controls) {
    this.#steering = keys;
    this.#controls = controls;
  }

  /**
   * @param {string[]} codes Keys that would do, the best first.
   * @param {() => void} act What the first of them does that the model leaves free.
   * @returns {string | null} That key.
   */
  command(codes, act) {
    const code = codes.find((code) => !this.#steering.has(code) && !this.#commands.has(code)) ?? null;
    if (code) this.#commands.set(code, act);
    return code;
  }

  /** Forget the keys of commands. */
  clearCommands() {
    this.#commands.clear();
  }

  #down(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || isBusy(event)) return;
    const held = this.#steering.get(event.code);
    const act = this.#commands.get(event.code);
    if (!held && !act) return;
    event.preventDefault();
    if (held) this.#controls.press(sourceOf(event), held, event.timeStamp);
    else if (!event.repeat) act();
  }

  #up(event) {
    this.#controls?.release(sourceOf(event), event.timeStamp);
    if (event.key === "Meta") this.#controls?.releaseAll(); // macOS hides which keys were let go meanwhile
  }
}

function sourceOf(event) {
  return `key ${event.code}`;
}

/** Whether a key belongs to what has the focus: a field, a dialog, or a button that it presses. */
function isBusy({ target, code }) {
  const presses = code === "Space" || code === "Enter" || code === "NumpadEnter";
  const isPressed = presses && target.closest?.("button, a, summary");
  return takesText(target) || document.querySelector("dialog[open]") || isPressed;
}

function takesText(target) {
  return Boolean(target.closest?.("input, textarea, select, [contenteditable]"));
}
