/** What one does with a dream as a whole: pause it, begin anew, save it, come back to a moment. */

import { keyCap, keyWord } from "./keyboard.js";
import { videoUrl } from "./server.js";

const MARK = "mark";
const MOST_SECONDS = 30;

/** Keys of each command, the best first: the model's own keys come before all of them. */
const KEYS = {
  pause: ["KeyP", "Pause"],
  reset: ["KeyR", "Backspace"],
  save: ["KeyS", "KeyV", "KeyO"],
  keep: ["KeyK", "KeyM"],
  return: ["KeyB", "KeyJ"],
  begin: ["KeyN", "KeyI"],
  figures: ["KeyH", "KeyU"],
  fullscreen: ["KeyF", "KeyL"],
};

/** The buttons of the page and their keys. */
export class Commands {
  #life;
  #notices;
  #buttons = new Map();
  #acts;
  #steer;
  #hasMark = false;

  /**
   * @param {ParentNode} page Has a button with `data-command` for each command.
   * @param {import("./life.js").Life} life
   * @param {import("./notices.js").Notices} notices
   * @param {{begin: () => void, figures: () => void, steer: () => void}} more What other parts of the page
   *   do: `steer` tells a rollout that has just begun what is held.
   */
  constructor(page, life, notices, more) {
    [this.#life, this.#notices, this.#steer] = [life, notices, more.steer];
    this.#acts = {
      pause: () => this.#pause(),
      reset: () => this.reset(life.opening),
      save: () => this.#save(),
      keep: () => this.#keep(),
      return: () => this.#return(),
      begin: more.begin,
      figures: more.figures,
      fullscreen: toggleFullscreen,
    };
    for (const button of page.querySelectorAll("[data-command]")) {
      this.#buttons.set(button.dataset.command, button);
      if (button.dataset.command !== "figures") button.addEventListener("click", () => this.#do(button));
    }
    this.#buttons.get("fullscreen").hidden = !document.fullscreenEnabled;
    addEventListener("fullscreenchange", () => this.update());
  }

  /** @param {import("./keyboard.js").Keyboard} keyboard Where each command takes a key that is free. */
  bind(keyboard) {
    keyboard.clearCommands();
    for (const [name, button] of this.#buttons) {
      const code = keyboard.command(KEYS[name], () => button.disabled || button.hidden || this.#acts[name]());
      button.querySelector("kbd")?.replaceChildren(code ? keyCap(code) : "");
      if (code) button.setAttribute("aria-keyshortcuts", keyWord(code));
    }
  }

  /** Enable what can be done now. */
  update() {
    const { state, model } = this.#life;
    const begun = state === "live" || state === "paused";
    for (const name of ["pause", "reset", "save", "keep"]) this.#buttons.get(name).disabled = !begun;
    if (this.#life.model?.limits?.snapshots === 0) this.#buttons.get("keep").disabled = true;
    this.#buttons.get("return").disabled = !begun || !this.#hasMark;
    this.#buttons.get("begin").disabled = !begun && !["choosing", "ended", "refused"].includes(state);
    this.#buttons.get("begin").hidden = !model || !hasBeginning(model.steering);
    this.#label("pause", state === "paused" ? "Resume" : "Pause", state === "paused");
    const screen = document.fullscreenElement ? "Leave full screen" : "Full screen";
    this.#buttons.get("fullscreen").setAttribute("aria-label", screen);
  }

  /**
   * Another rollout in the same session.
   * @param {object} opening What it begins with.
   * @param {string} said What people are told then.
   */
  async reset(opening, said = "Restarted.") {
    this.#life.opening = opening;
    if (!(await this.#ask("reset", opening))) return;
    this.#steer();
    this.#notices.say(said);
  }

  /** The session has no mark any more, since it is another one. */
  forgetMark() {
    this.#hasMark = false;
  }

  #do(button) {
    this.#acts[button.dataset.command]();
  }

  #pause() {
    return this.#ask(this.#life.state === "paused" ? "resume" : "pause");
  }

  async #save() {
    const seconds = Math.min(MOST_SECONDS, this.#life.model.limits?.keep_seconds ?? MOST_SECONDS);
    const saved = await this.#ask("save", { seconds });
    if (!saved) return;
    const url = videoUrl(this.#life.session, saved.video);
    this.#notices.offer(`Saved ${duration(saved.seconds)} of video.`, url, saved.video);
  }

  async #keep() {
    if (!(await this.#ask("keep", { name: MARK }))) return;
    this.#hasMark = true;
    this.update();
    this.#notices.say("This moment is kept: “Go back” returns to it.");
  }

  async #return() {
    if (!(await this.#ask("return", { name: MARK }))) return;
    this.#steer();
    this.#notices.say("Back at the moment that you kept.");
  }

  async #ask(type, fields) {
    try {
      return await this.#life.connection.ask(type, fields);
    } catch (error) {
      this.#notices.complain(error.message);
      return null;
    }
  }

  #label(name, text, on) {
    const button = this.#buttons.get(name);
    button.querySelector(".word").textContent = text;
    button.setAttribute("aria-label", text);
    button.dataset.on = String(on);
  }
}

function hasBeginning({ prompt, starts, image, needs_image: needsImage }) {
  return Boolean(prompt || starts.length > 1 || image || needsImage);
}

function toggleFullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen().catch(() => {});
}

function duration(seconds) {
  return seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
}
