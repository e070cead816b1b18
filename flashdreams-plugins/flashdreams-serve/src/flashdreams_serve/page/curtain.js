/** What hides the picture while there is none: words, and what one can do. */

import { curtainOf, stateWord } from "./words.js";

/** The curtain before the picture, and the word in the bar. */
export class Curtain {
  #curtain;
  #word;
  #act = () => {};
  #also = () => {};

  /**
   * @param {HTMLElement} curtain
   * @param {HTMLElement} word Says how things stand.
   */
  constructor(curtain, word) {
    [this.#curtain, this.#word] = [curtain, word];
    this.#part(".primary").addEventListener("click", () => this.#act());
    this.#part(".also").addEventListener("click", () => this.#also());
  }

  /**
   * Show a state.
   * @param {string} state
   * @param {object} detail What is known of it; `video` is the address of a video, which can be fetched unless
   *   the server is `gone`.
   * @param {{act: () => void, also: () => void}} acts What its buttons do.
   */
  show(state, detail, acts) {
    put(this.#word, stateWord(state));
    const words = curtainOf(state, detail);
    this.#curtain.hidden = !words;
    if (!words) return;
    [this.#act, this.#also] = [acts.act, acts.also];
    put(this.#part("h2"), words.title);
    put(this.#part(".message p"), words.text);
    this.#offer(".primary", words.act);
    this.#offer(".also", words.also);
    const url = detail.gone ? null : detail.video;
    this.#offer("a", url && "Download the video");
    if (url) this.#part("a").href = url;
  }

  #offer(selector, text) {
    const button = this.#part(selector);
    button.hidden = !text;
    put(button, text ?? "");
  }

  #part(selector) {
    return this.#curtain.querySelector(selector);
  }
}

/** Written only where it changed, so that a screen reader does not say it again. */
function put(place, text) {
  if (place.textContent !== text) place.textContent = text;
}
