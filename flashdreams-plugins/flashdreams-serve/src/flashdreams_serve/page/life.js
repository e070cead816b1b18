/** The life of a dream: from finding the server to the end, over queues and lost connections. */

import { Connection } from "./connection.js";
import { rememberSession, rememberedSession } from "./memory.js";
import { Refusal, Unreachable, closeSession, openSession, served, sessionNow } from "./server.js";

const LOADING_MS = 1000;
const LONGEST_WAIT_MS = 10_000;
const FULL_MS = 10_000;
const UNREACHABLE_MS = 2000;
const GONE = 4404;
const NO_TOKEN = 4401;
const FAREWELL = 1000;
const TICK_MS = 250;
const STILL_THERE_MS = 1000;
const ENDING_PHASES = ["draining", "stopped"];

/** Moves from state to state; the page hears `entered`, `model`, `message`, `frame` and `transport`. */
export class Life {
  state = "connecting";
  model = null;
  session = null;
  connection = null;
  opening = {};
  #page;
  #picture;
  #forced;
  #wake = () => {};
  #errand = 0; // goes up when what is under way is no longer wanted
  #lostAt = null;
  #tries = 0; // to connect again, since the connection was lost
  #ended = false;

  /**
   * @param {object} page
   * @param {import("./picture.js").Picture} picture
   * @param {"webrtc" | "websocket" | null} forced The only transport to use.
   */
  constructor(page, picture, forced) {
    [this.#page, this.#picture, this.#forced] = [page, picture, forced];
    addEventListener("online", () => this.#wake());
  }

  /** Find the server and its model; take up the session of this tab, or begin one. */
  async begin() {
    const errand = ++this.#errand;
    this.#enter("connecting");
    try {
      if (!(await this.#ready(errand))) return;
      this.#page.model(this.model);
      const kept = rememberedSession();
      if (kept && (await sessionNow(kept.session))) this.#connect(kept.session);
      else if (mustChoose(this.model.steering)) this.#enter("choosing");
      else await this.open(this.opening);
    } catch (error) {
      if (errand === this.#errand) await this.#failed(error, () => this.begin());
    }
  }

  /**
   * Begin a session.
   * @param {object} opening What it begins with.
   */
  async open(opening) {
    const errand = ++this.#errand;
    [this.opening, this.session] = [opening, null];
    this.#enter("opening");
    try {
      const { session } = await openSession(opening);
      if (errand === this.#errand) this.#connect(session);
      else await closeSession(session);
    } catch (error) {
      if (errand === this.#errand) await this.#failed(error, () => this.open(opening));
    }
  }

  /** Do now what was to be done later. */
  hurry() {
    this.#wake();
  }

  /** Take the session back from the tab that has it. */
  takeBack() {
    this.#connect(this.session);
  }

  /** Leave: the session ends. */
  async leave() {
    this.#end("closed");
    if (this.session) await closeSession(this.session).catch(() => {}); // else it ends for want of viewers
  }

  /** Begin anew where it ended, with the same beginning. */
  again() {
    return this.open(this.opening);
  }

  #enter(state, detail = {}) {
    this.state = state;
    this.#page.entered(state, detail);
  }

  async #ready(errand) {
    const since = performance.now();
    for (let tries = 0; errand === this.#errand; tries++) {
      const { phase, model } = await served().catch(unreachable);
      if (errand !== this.#errand) return false;
      this.model ??= model;
      if (phase === "ready") return true;
      if (phase === "failed") return this.#stop("failed");
      const seconds = Math.round((performance.now() - since) / 1000);
      if (ENDING_PHASES.includes(phase)) await this.#pause("draining", FULL_MS);
      else if (phase === "unreachable") await this.#pause("unreachable", backoff(tries));
      else await this.#pause("loading", LOADING_MS, { seconds });
    }
    return false;
  }

  #stop(state) {
    this.#enter(state);
    return false;
  }

  /** Something did not work: says so, and does it again where that may help. */
  async #failed(error, again) {
    if (error.status === 401) return this.#enter("token");
    if (error.code === "draining" || error.code === "not_ready") return this.begin();
    const isFull = error.status === 429 || error.status === 503;
    if (error instanceof Refusal && error.status < 500 && !isFull) {
      return this.#enter("refused", { what: error.message });
    }
    if (!(error instanceof Refusal || error instanceof Unreachable)) return this.#break(error);
    const errand = this.#errand;
    if (isFull) await this.#pause("full", FULL_MS, { what: error.what });
    else await this.#pause("unreachable", UNREACHABLE_MS);
    return errand === this.#errand ? again() : undefined;
  }

  /** A mistake of this page, which would only come again. */
  #break(error) {
    console.error(error);
    this.#enter("broken");
  }

  #connect(session) {
    this.#errand++;
    this.connection?.close();
    this.session = session;
    this.#ended = false;
    const listener = {
      message: (message) => this.#message(message),
      frame: (header, at) => this.#page.frame(header, at),
      transport: (name, note) => this.#page.transport(name, note),
      lost: (code) => this.#lost(code),
    };
    this.connection = new Connection(session, this.model, this.#picture, listener, this.#forced);
  }

  #message(message) {
    if (message.type === "welcome") {
      [this.#lostAt, this.#tries] = [null, 0];
      this.#page.message(message);
      this.#stands(message.standing);
    } else if (message.type === "standing") this.#stands(message);
    else this.#page.message(message);
  }

  #stands({ state, reason, position, detail }) {
    if (state === "ended") this.#end(reason, detail);
    else if (state !== "detached") this.#enter(state, { position });
  }

  #end(reason, detail) {
    this.#errand++;
    this.#ended = true;
    this.connection?.close();
    rememberSession(null);
    this.#enter("ended", { reason, video: detail?.video });
    if (reason === "drained" && detail?.video) this.#watch(detail.video);
  }

  /** Say when the server is gone, and with it the way to the video. */
  async #watch(video) {
    for (const errand = this.#errand; errand === this.#errand; ) {
      await new Promise((done) => setTimeout(done, STILL_THERE_MS));
      const { phase } = await served().catch(() => ({ phase: "unreachable" }));
      if (ENDING_PHASES.includes(phase) || errand !== this.#errand) continue;
      return this.#enter("ended", { reason: "drained", video, gone: true });
    }
  }

  #lost(code) {
    if (this.#ended) return;
    if (code === NO_TOKEN) this.#enter("token");
    else if (code === GONE) this.#end("left");
    else if (code === FAREWELL) this.#enter("elsewhere");
    else this.#reconnect();
  }

  /** Try again and again, for as long as the server keeps the session. */
  async #reconnect() {
    const errand = ++this.#errand;
    this.#lostAt ??= performance.now();
    const until = this.#lostAt + 1000 * (this.model.limits?.grace_seconds ?? 30);
    while (errand === this.#errand) {
      await this.#pause("reconnecting", backoff(this.#tries++), {}, until);
      if (errand !== this.#errand) return;
      try {
        if (await sessionNow(this.session)) return this.#connect(this.session);
        return this.#end("left");
      } catch (error) {
        if (error instanceof Refusal && error.status === 401) return this.#enter("token");
        if (performance.now() > until) return this.begin();
      }
    }
  }

  /** Wait in a state that says for how long, or until somebody is in a hurry. */
  #pause(state, length, detail = {}, until = 0) {
    const errand = this.#errand;
    const ends = performance.now() + length;
    const seconds = (moment) => Math.max(0, Math.ceil((moment - performance.now()) / 1000));
    const show = () => this.#enter(state, { ...detail, wait: seconds(ends), left: seconds(until) });
    const wanted = () => errand === this.#errand && performance.now() < ends;
    show();
    return new Promise((done) => {
      const clock = setInterval(() => (wanted() ? show() : over()), TICK_MS);
      const over = () => {
        clearInterval(clock);
        done();
      };
      this.#wake = over;
    });
  }
}

/** Whether somebody has to say something before a dream can begin. */
function mustChoose({ prompt, needs_image: needsImage }) {
  return Boolean(prompt) || needsImage;
}

/** Nobody answered, or somebody between here and the server. */
function unreachable(error) {
  if (error instanceof Unreachable || error.status >= 500) return { phase: "unreachable", model: null };
  throw error;
}

function backoff(tries) {
  return Math.min(LONGEST_WAIT_MS, 500 * 2 ** tries);
}
