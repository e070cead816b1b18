/** Honest figures: what is really shown, how late, and what was left out. */

import { rememberFigures, rememberedFigures } from "./memory.js";

const WINDOW_MS = 2000;
const WHOLE_CHUNKS = 2; // that rates are taken over at least: those of slow models come in bursts
const LEAST_MS = 1000;
const REFRESH_MS = 500;
const SLOW = 0.8; // of the model's own rate: people see less than that
const SLOW_MS = 4000; // until it is worth saying

/** Counts what is shown and writes it down twice a second. */
export class Figures {
  #panel;
  #button;
  #shown = [];
  #isMoving = false;
  #expected = 0;
  #slowSince = null;
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

  /** @param {number} fps Frames that the model is made to show per second. */
  expect(fps) {
    this.#expected = fps;
  }

  /** @param {boolean} moving Whether frames are due at all; where they are not, there is no rate. */
  moves(moving) {
    if (moving === this.#isMoving) return;
    this.#isMoving = moving;
    [this.#shown, this.#slowSince] = [[], null];
    this.#write();
  }

  /**
   * A frame is shown.
   * @param {number} at When, of `performance.now()`.
   * @param {number} chunk Number of the chunk that it is of.
   */
  shown(at, chunk) {
    if (chunk < this.#shown.at(-1)?.chunk) this.#shown = [];
    this.#shown.push({ at, chunk });
    const isPast = (frame) => frame.at < at - WINDOW_MS && frame.chunk < chunk - WHOLE_CHUNKS;
    while (isPast(this.#shown[0])) this.#shown.shift();
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

  /** @returns {number} Frames that were shown per second, over the last two seconds or chunks. */
  get fps() {
    if (!this.#shown.length) return 0;
    const length = Math.max(LEAST_MS, performance.now() - this.#shown[0].at);
    return (1000 * this.#shown.length) / length;
  }

  #open(open) {
    this.#panel.hidden = !open;
    this.#button.setAttribute("aria-expanded", String(open));
  }

  #write() {
    if (document.hidden) return;
    const fps = this.#isMoving && this.#shown.length ? this.fps.toFixed(1) : "–";
    const [p50, p95] = [0.5, 0.95].map((share) => this.#latencies?.quantile(share) ?? null);
    const late = p50 === null ? "" : ` · ${Math.round(p50)} ms`;
    this.#put("summary", `${fps} fps${late}`, this.#button);
    const { chunk_ms: made, dropped, stale, missed, path, sessions, waiting } = this.#server;
    this.#put("fps", fps);
    this.#put("latency", p50 === null ? "none yet" : `${Math.round(p50)} / ${Math.round(p95)} ms`);
    this.#put("made", typeof made === "number" ? `${made.toFixed(made < 100 ? 1 : 0)} ms` : "–");
    this.#put("left-out", `${dropped ?? 0} / ${stale ?? 0}`);
    this.#put("missed", String(missed ?? 0));
    this.#put("carrier", this.#carrier.name || "–");
    this.#put("path", path || "–");
    this.#put("sharing", waiting ? `${sessions}, ${waiting} in line` : String(sessions ?? "–"));
    const notes = [this.#slowness(), this.#carrier.note, this.#pad && `Gamepad: ${this.#pad}.`];
    this.#put("note", notes.filter(Boolean).join(" "));
  }

  /** Why the dream moves slowly, once it has for a while. */
  #slowness() {
    const now = performance.now();
    const isSlow = this.#isMoving && this.#shown.length > 0 && this.fps < SLOW * this.#expected;
    this.#slowSince = isSlow ? (this.#slowSince ?? { at: now, missed: this.#server.missed }) : null;
    if (!isSlow || now - this.#slowSince.at < SLOW_MS) return "";
    const rates = `${this.fps.toFixed(1)} of ${this.#expected.toFixed(1)} frames a second`;
    if (this.#server.missed === this.#slowSince.missed) return `${rates} arrive here.`;
    const sharing = this.#server.sessions > 1 ? `, for each of ${this.#server.sessions} sessions` : "";
    return `This machine makes ${rates}${sharing}.`;
  }

  #put(name, text, within = this.#panel) {
    const place = within.querySelector(`[data-figure="${name}"]`);
    if (place.textContent !== text) place.textContent = text;
  }
}
