/** Honest figures: what is really shown, how late, and what was left out. */

import { rememberFigures, rememberedFigures } from "./memory.js";

const WINDOW_MS = 2000;
const REFRESH_MS = 500;

/** Counts what is shown and writes it down twice a second. */
export class Figures {
  #panel;
  #button;
  #shownAt = [];
  #latencies = null;
  #server = {};
  #carrier = { name: "", note: "" };
  #pad = null;

  /**
   * @param {HTMLElement} panel
   * @param {HTMLButtonElement} button Opens and closes it.
   */
  constructor(panel, button) {
    [this.#panel, this.#button] = [panel, button];
    button.addEventListener("click", () => this.toggle());
    setInterval(() => this.#write(), REFRESH_MS);
  }

  /** @param {boolean} fits Whether there is room beside the picture: then it is open unless closed before. */
  place(fits) {
    this.#open(rememberedFigures() ?? fits);
  }

  /** Open or close it. */
  toggle() {
    this.#open(this.#panel.hidden);
    rememberFigures(!this.#panel.hidden);
  }

  /** @param {import("./latency.js").Latencies} latencies Of the session that is shown. */
  follow(latencies) {
    this.#latencies = latencies;
  }

  /** A frame is shown. @param {number} at When, of `performance.now()`. */
  shown(at) {
    this.#shownAt.push(at);
    while (this.#shownAt[0] < at - WINDOW_MS) this.#shownAt.shift();
  }

  /** @param {object} stats What the server says of itself. */
  heard(stats) {
    this.#server = stats;
  }

  /**
   * @param {string} name Of the transport.
   * @param {string} note Why it is this one.
   */
  carriedBy(name, note) {
    this.#carrier = { name, note };
    this.#write();
  }

  /** @param {string | null} name Of a gamepad. */
  pad(name) {
    this.#pad = name;
  }

  /** @returns {number} Frames that were shown per second, over the last two seconds. */
  get fps() {
    const now = performance.now();
    return (1000 * this.#shownAt.filter((at) => at > now - WINDOW_MS).length) / WINDOW_MS;
  }

  #open(open) {
    this.#panel.hidden = !open;
    this.#button.setAttribute("aria-expanded", String(open));
  }

  #write() {
    if (document.hidden) return;
    const { fps } = this;
    const [p50, p95] = [0.5, 0.95].map((share) => this.#latencies?.quantile(share) ?? null);
    const late = p50 === null ? "" : ` · ${Math.round(p50)} ms`;
    this.#put("summary", `${fps.toFixed(1)} fps${late}`, this.#button);
    const { chunk_ms: made, dropped, stale, missed, path, sessions, waiting } = this.#server;
    this.#put("fps", fps.toFixed(1));
    this.#put("latency", p50 === null ? "none yet" : `${Math.round(p50)} / ${Math.round(p95)} ms`);
    this.#put("made", typeof made === "number" ? `${made.toFixed(made < 100 ? 1 : 0)} ms` : "–");
    this.#put("left-out", `${dropped ?? 0} / ${stale ?? 0}`);
    this.#put("missed", String(missed ?? 0));
    this.#put("carrier", this.#carrier.name || "–");
    this.#put("path", path || "–");
    this.#put("sharing", waiting ? `${sessions}, ${waiting} in line` : String(sessions ?? "–"));
    this.#put("note", [this.#carrier.note, this.#pad && `Gamepad: ${this.#pad}`].filter(Boolean).join(" "));
  }

  #put(name, text, within = this.#panel) {
    const place = within.querySelector(`[data-figure="${name}"]`);
    if (place.textContent !== text) place.textContent = text;
  }
}
