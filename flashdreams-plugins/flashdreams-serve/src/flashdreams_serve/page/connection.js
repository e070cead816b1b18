/** One session, over whichever transport works: WebRTC first, WebSocket where that fails. */

import { Unreachable, sessionNow } from "./server.js";
import { RtcTransport, canUseRtc } from "./webrtc.js";
import { SocketTransport } from "./websocket.js";

const PING_MS = 5000;
const SILENCE_MS = 15_000; // from a server that answers pings: the connection is dead, whatever it says
const DOUBT_MS = 2500; // from a server that tells figures once a second: it is asked whether it is there
const WATCH_MS = 500;
const VERSION = 1;
const FAREWELL = 1000; // closes a WebSocket that was replaced; over WebRTC there is only a message for it

let rtcNeverWorks = false; // found out once, where only a WebSocket came through

/** Speaks the protocol; the listener hears `message`, `frame`, `transport` and `lost`. */
export class Connection {
  #session;
  #model;
  #picture;
  #listener;
  #transport = null;
  #note = ""; // why it is not WebRTC
  #rtcWorked = false;
  #welcomed = false;
  #asked = new Map();
  #asks = 0;
  #pinging;
  #watching;
  #heardAt = performance.now();
  #doubtedAt = 0;
  #closed = false;

  /**
   * @param {string} session
   * @param {object} model As `GET /v1/models` has it.
   * @param {import("./picture.js").Picture} picture
   * @param {object} listener
   * @param {"webrtc" | "websocket" | null} forced The only transport to try.
   */
  constructor(session, model, picture, listener, forced) {
    [this.#session, this.#model, this.#picture, this.#listener] = [session, model, picture, listener];
    this.#pinging = setInterval(() => this.#ping(), PING_MS);
    this.#watching = setInterval(() => this.#watch(), WATCH_MS);
    const offered = (model.transports ?? []).includes("webrtc") && canUseRtc();
    if (forced === "webrtc" || (offered && forced === null && !rtcNeverWorks)) this.#byRtc(forced);
    else this.#bySocket("");
  }

  /** @returns {boolean} Whether it was sent; it is not while there is no connection, or no welcome yet. */
  send(message) {
    return this.#welcomed && this.#transport.send(message);
  }

  /**
   * Ask something of the session.
   * @param {string} type Such as "save".
   * @param {object} fields
   * @returns {Promise<object>} The answer; rejected with the error's message otherwise.
   */
  ask(type, fields = {}) {
    const ask = ++this.#asks;
    return new Promise((resolve, reject) => {
      if (!this.send({ type, ask, ...fields })) reject(new Error("There is no connection just now."));
      else this.#asked.set(ask, { resolve, reject });
    });
  }

  /** Say that this page is closed, or loaded again: then it is back at once, or never. */
  sayAway() {
    this.send({ type: "away" });
  }

  /** Let go of the session, which goes on without this page. */
  close() {
    this.#closed = true;
    clearInterval(this.#pinging);
    clearInterval(this.#watching);
    this.#transport?.close();
    this.#breakPromises();
  }

  #byRtc(forced) {
    const listener = this.#listening((reason) => {
      if (forced) return this.#lost(0);
      this.#welcomed = false;
      this.#breakPromises();
      this.#bySocket(reason);
    });
    const iceServers = this.#model.ice_servers ?? [];
    this.#transport = new RtcTransport(this.#session, listener, this.#picture, iceServers);
  }

  #bySocket(reason) {
    this.#note = reason;
    this.#transport = new SocketTransport(this.#session, this.#listening(), this.#picture);
  }

  #listening(failed) {
    return {
      opened: () => this.#greet(),
      message: (message) => this.#message(message),
      frame: (header, at) => this.#frame(header, at),
      lost: (code) => this.#lost(code),
      failed,
    };
  }

  async #greet() {
    this.#heardAt = performance.now();
    const greeting = await this.#transport.greeting(this.#model);
    this.#transport.send({ type: "hello", version: VERSION, ...greeting });
    if (this.#transport.name === "WebRTC") this.#rtcWorked = true;
    else rtcNeverWorks ||= Boolean(this.#note) && !this.#rtcWorked;
    this.#listener.transport(this.#transport.name, this.#note);
  }

  #message(message) {
    this.#heardAt = performance.now();
    this.#welcomed ||= message.type === "welcome";
    const asked = message.ask === undefined || message.ask === null ? null : this.#asked.get(message.ask);
    if (asked && (message.type === "answer" || message.type === "error")) {
      this.#asked.delete(message.ask);
      if (message.type === "answer") asked.resolve(message);
      else asked.reject(new Error([message.what, message.next].filter(Boolean).join(" ")));
      return;
    }
    if (message.type === "error" && message.code === "replaced") this.#lost(FAREWELL);
    else this.#listener.message(message);
  }

  #frame(header, at) {
    this.#heardAt = performance.now();
    this.#listener.frame(header, at);
  }

  #ping() {
    if (document.hidden) this.#heardAt = performance.now(); // it asks for nothing, so silence means nothing
    else if (performance.now() - this.#heardAt > SILENCE_MS) this.#lost(0);
    else this.send({ type: "ping", sent_at: performance.now() });
  }

  /** A WebRTC connection notices late that nobody is at its other end; a request notices at once. */
  async #watch() {
    const now = performance.now();
    if (document.hidden || !this.#welcomed || now - Math.max(this.#heardAt, this.#doubtedAt) < DOUBT_MS) return;
    this.#doubtedAt = now;
    const isOver = (view) => view === null;
    const isGone = await sessionNow(this.#session).then(isOver, (error) => error instanceof Unreachable);
    if (isGone && this.#heardAt < now) this.#lost(0);
  }

  #lost(code) {
    if (this.#closed) return;
    this.close();
    this.#listener.lost(code);
  }

  #breakPromises() {
    for (const { reject } of this.#asked.values()) reject(new Error("The connection was lost."));
    this.#asked.clear();
  }
}
