/** Times from a key to the pixels that obey it, both on the clock of this page. */

const KEPT = 100;
const MOST_REPORTED = 64; // in one message, by the protocol

/** The latencies of the last controls. */
export class Latencies {
  #kept = [];
  #unreported = [];
  #measured;

  /** @param {number} seq Number of the last control before this page: such ones were stamped elsewhere. */
  constructor(seq) {
    this.#measured = seq;
  }

  /** @param {number} seq Controls up to this one are not measured: they had to wait for something else. */
  skip(seq) {
    this.#measured = Math.max(this.#measured, seq);
  }

  /**
   * A frame is shown: measures the control that it is the first to obey.
   * @param {{seq: number, sent_at: number | null}} header Header of the frame.
   * @param {number} shownAt When, of `performance.now()`.
   */
  shown(header, shownAt) {
    if (!(header.seq > this.#measured) || typeof header.sent_at !== "number") return;
    this.#measured = header.seq;
    const latency = Math.max(0, shownAt - header.sent_at);
    this.#kept = [...this.#kept, latency].slice(-KEPT);
    this.#unreported = [...this.#unreported, latency].slice(-MOST_REPORTED);
  }

  /** @returns {number[]} Milliseconds, the oldest first. */
  get all() {
    return [...this.#kept];
  }

  /**
   * The latency that a share of the controls stayed below.
   * @param {number} share Such as 0.95.
   * @returns {number | null} Milliseconds; null where nothing was measured yet.
   */
  quantile(share) {
    const sorted = [...this.#kept].sort((one, other) => one - other);
    return sorted.length ? sorted[Math.ceil(share * sorted.length) - 1] : null;
  }

  /** @returns {number[]} Those that the server was not told yet. */
  takeUnreported() {
    const taken = this.#unreported;
    this.#unreported = [];
    return taken.map((latency) => Math.round(latency * 10) / 10);
  }
}
