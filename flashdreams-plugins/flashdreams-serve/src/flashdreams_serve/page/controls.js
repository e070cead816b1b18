/** What the model is told: the values of its axes and choices, from everything that is held or chosen. */

const APART_MS = 25; // between two messages, so that a stick that is moved stays below the server's limit

/** Holds the values of all axes and choices; whoever holds one last wins. */
export class Controls {
  #rest = {};
  #chosen = {};
  #pushed = {};
  #held = new Map();
  #isObeyed = true;
  #changed;

  /**
   * @param {object} steering As the model has it.
   * @param {(urgent: boolean, at: number) => void} changed Called whenever a value may be another, with when
   *   somebody made it so: times here are those of `performance.now()`, as events have them.
   */
  constructor(steering, changed) {
    for (const axis of steering.axes) this.#rest[axis.name] = axis.rest;
    for (const choice of steering.choices) this.#rest[choice.name] = choice.options[0];
    this.#changed = changed;
  }

  /** @returns {Record<string, number | string>} Every axis and choice by name. */
  get values() {
    const held = Object.fromEntries([...this.#held.values()].flat());
    return { ...this.#rest, ...this.#chosen, ...this.#pushed, ...held };
  }

  /**
   * Hold some controls for as long as something is pressed.
   * @param {string} source What is pressed, such as "key ArrowLeft".
   * @param {[string, number | string][]} settings Names and values.
   * @param {number} at When it was pressed.
   */
  press(source, settings, at) {
    if (!this.#isObeyed || this.#held.has(source)) return;
    this.#held.set(source, settings);
    this.#changed(false, at);
  }

  /**
   * @param {string} source What is pressed no more.
   * @param {number} at When it was let go.
   */
  release(source, at) {
    if (this.#held.delete(source)) this.#changed(false, at);
  }

  /** @param {boolean} obeyed Whether there is a dream that obeys; where there is none, nothing can be held. */
  listen(obeyed) {
    this.#isObeyed = obeyed;
    if (!obeyed) this.releaseAll();
  }

  /** Let go of everything that is held, at once: nobody is there to do it. */
  releaseAll() {
    if (!this.#held.size && !Object.keys(this.#pushed).length) return;
    this.#held.clear();
    this.#pushed = {};
    this.#changed(true, performance.now());
  }

  /**
   * Choose an option, until another is chosen.
   * @param {string} name
   * @param {string} option
   * @param {number} at When it was chosen.
   */
  choose(name, option, at) {
    this.#chosen[name] = option;
    this.#changed(false, at);
  }

  /** @param {Record<string, number>} values Axes that a gamepad moves now; the others it lets go. */
  push(values) {
    if (!this.#isObeyed || sameValues(values, this.#pushed)) return;
    this.#pushed = values;
    this.#changed(false, performance.now());
  }
}

/** Sends values that changed: the first change at once, those that follow closely together. */
export class ControlSender {
  #controls;
  #send;
  #seq;
  #sent = {};
  #timer = null;
  #since = null; // when the oldest change was made that is not sent yet

  /**
   * @param {(message: object) => boolean} send
   * @param {number} seq Number of the last control that was sent before.
   */
  constructor(send, seq) {
    this.#send = send;
    this.#seq = seq;
  }

  /** @returns {number} Number of the last control. */
  get seq() {
    return this.#seq;
  }

  /** @param {Controls} controls Whose values are sent. */
  follow(controls) {
    this.#controls = controls;
    this.#sent = controls.values;
  }

  /**
   * Something changed.
   * @param {boolean} urgent Whether it must not wait for what may follow.
   * @param {number} at When: latency is measured from there, however long the change has to wait here.
   */
  changed(urgent, at) {
    this.#since ??= at;
    if (this.#timer !== null && !urgent) return;
    clearTimeout(this.#timer);
    this.#timer = this.#flush() ? setTimeout(() => this.#again(), APART_MS) : null;
  }

  /** @param {number} seq Number of a control that the session obeys: another page may have sent it. */
  atLeast(seq) {
    this.#seq = Math.max(this.#seq, seq);
  }

  /** The connection or the rollout is another: what was told before may not be what is held now. */
  resend() {
    const now = this.#controls.values;
    const isNews = this.#seq > 0 || !sameValues(now, this.#sent);
    if (isNews && Object.keys(now).length) this.say(now, performance.now());
    [this.#sent, this.#since] = [now, null];
  }

  /**
   * Send a control.
   * @param {Record<string, number | string>} values
   * @param {number} at When somebody wanted them.
   * @returns {number | null} Its number; null where there is no connection.
   */
  say(values, at) {
    const message = { type: "control", seq: this.#seq + 1, values, sent_at: at };
    if (!this.#send(message)) return null;
    return ++this.#seq;
  }

  #again() {
    this.#timer = null;
    if (this.#since !== null) this.changed(false, this.#since);
  }

  #flush() {
    const since = this.#since;
    this.#since = null;
    const now = this.#controls.values;
    const other = Object.entries(now).filter(([name, value]) => value !== this.#sent[name]);
    if (!other.length || this.say(Object.fromEntries(other), since) === null) return false;
    this.#sent = now;
    return true;
  }
}

function sameValues(one, other) {
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...names].every((name) => one[name] === other[name]);
}
