/** The controls on the page: buttons to hold, options to choose, words to send; lit while in force. */

import { keyCap, keyWord } from "./keyboard.js";
import { counted } from "./lengths.js";

const PRESSES = ["Space", "Enter"];

/** Builds the controls of a model and keeps them lit. */
export class Panel {
  #controls = null;
  #lit = [];
  #gauges = [];

  /** @param {{left: HTMLElement, right: HTMLElement, deck: HTMLElement}} places Where they stand. */
  constructor(places) {
    this.places = places;
  }

  /**
   * Show the controls of a model.
   * @param {object} steering As the model has it.
   * @param {import("./controls.js").Controls} controls What they set.
   * @param {(name: string, text: string, form: HTMLFormElement, at: number) => void} sendText
   */
  build(steering, controls, sendText) {
    const { left, right, deck } = this.places;
    [this.#controls, this.#lit, this.#gauges] = [controls, [], []];
    for (const place of [left, right, deck]) place.replaceChildren();
    for (const axis of steering.axes) {
      const values = heldValues(axis);
      (values.length > 1 ? left : right).append(this.#axis(axis, values));
    }
    deck.append(...steering.choices.map((choice) => this.#choice(choice)));
    deck.append(...steering.texts.map((text) => textForm(text, sendText)));
    for (const place of [left, right, deck]) place.hidden = !place.children.length;
    this.light();
  }

  /** Light what is in force. */
  light() {
    const values = this.#controls.values;
    for (const { button, name, value } of this.#lit) {
      const holds = values[name] === value;
      button.classList.toggle("lit", holds);
      if (button.hasAttribute("aria-pressed")) button.setAttribute("aria-pressed", String(holds));
    }
    for (const { needle, axis } of this.#gauges) {
      needle.style.setProperty("--at", percentage(axis, values[axis.name]));
    }
  }

  #axis(axis, values) {
    const group = element("div", "axis");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", axis.label);
    const head = element("div", "head");
    head.append(element("span", "label", axis.label), this.#gauge(axis));
    const row = element("div", "row");
    row.append(...values.map((held) => this.#holdButton(axis, held, values.length > 1)));
    group.append(head, row);
    return group;
  }

  #gauge(axis) {
    const gauge = element("span", "gauge");
    gauge.setAttribute("aria-hidden", "true");
    const needle = element("span", "needle");
    gauge.style.setProperty("--rest", percentage(axis, axis.rest));
    gauge.append(needle);
    this.#gauges.push({ needle, axis });
    return gauge;
  }

  #holdButton(axis, { value, codes }, isOneOfSome) {
    const button = element("button", "hold");
    button.type = "button";
    const words = codes.map(keyWord).join(" or ");
    const what = isOneOfSome ? `${axis.label} ${value > axis.rest ? "up" : "down"} to ${value}` : axis.label;
    button.setAttribute("aria-label", words ? `${what}, hold (${words})` : `${what}, hold`);
    const caps = codes.length ? codes.map(keyCap) : [value > axis.rest ? "+" : "−"];
    button.append(...caps.map((cap) => element("kbd", "", cap)));
    holdWith(button, this.#controls, [[axis.name, value]]);
    this.#lit.push({ button, name: axis.name, value });
    return button;
  }

  #choice(choice) {
    const group = element("div", "choice");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", choice.label);
    const row = element("div", "options");
    for (const option of choice.options) {
      const button = element("button", "option", option);
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      const codes = Object.keys(choice.keys).filter((code) => choice.keys[code] === option);
      button.append(...codes.map((code) => element("kbd", "", keyCap(code))));
      button.addEventListener("click", ({ timeStamp }) => {
        this.#controls.choose(choice.name, option, timeStamp);
      });
      this.#lit.push({ button, name: choice.name, value: option });
      row.append(button);
    }
    group.append(element("span", "label", choice.label), row);
    return group;
  }
}

/**
 * An element with a class and a text.
 * @param {string} tag
 * @param {string} name
 * @param {string} text
 * @returns {HTMLElement}
 */
export function element(tag, name = "", text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}

/** Where a value lies between the ends of its axis. */
function percentage({ low, high }, value) {
  return `${((100 * (value - low)) / (high - low)).toFixed(1)}%`;
}

/** The values that an axis can be held at, in order, each with its keys; its ends where it has no keys. */
function heldValues(axis) {
  const codes = new Map();
  for (const [code, value] of Object.entries(axis.keys)) {
    codes.set(value, [...(codes.get(value) ?? []), code]);
  }
  const values = codes.size ? [...codes.keys()] : [axis.low, axis.high].filter((end) => end !== axis.rest);
  return values.sort((one, other) => one - other).map((value) => ({ value, codes: codes.get(value) ?? [] }));
}

/** A button that holds while a finger, a mouse or a key is on it. */
function holdWith(button, controls, settings) {
  const source = (finger) => `button ${finger} ${settings}`;
  button.addEventListener("pointerdown", ({ button: which, pointerId, timeStamp }) => {
    if (which !== 0) return;
    button.setPointerCapture(pointerId);
    controls.press(source(pointerId), settings, timeStamp);
  });
  const letGo = ({ pointerId, timeStamp }) => controls.release(source(pointerId), timeStamp);
  for (const over of ["pointerup", "pointercancel", "lostpointercapture"]) {
    button.addEventListener(over, letGo);
  }
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  button.addEventListener("keydown", ({ code, timeStamp }) => {
    if (PRESSES.includes(code)) controls.press(source(code), settings, timeStamp);
  });
  button.addEventListener("keyup", ({ code, timeStamp }) => controls.release(source(code), timeStamp));
  button.addEventListener("blur", ({ timeStamp }) => {
    for (const code of PRESSES) controls.release(source(code), timeStamp); // another hears of the key now
  });
}

function textForm(text, sendText) {
  const form = element("form", "words");
  const label = element("label", "label", text.label);
  const field = element("input");
  Object.assign(field, { type: "text", id: `text-${text.name}`, autocomplete: "off" });
  field.placeholder = text.example;
  label.htmlFor = field.id;
  const send = element("button", "send", "Send");
  const said = element("output", "said");
  form.append(label, field, send, said, counted(field, text.longest, send));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (field.value.trim()) sendText(text.name, field.value.trim(), form, event.timeStamp);
  });
  field.addEventListener("keydown", ({ key }) => key === "Escape" && field.blur());
  return form;
}
