/** A session by WebRTC: frames as video, messages over a data channel, joined by the tag in the pixels. */

import { answerTo } from "./server.js";
import { TagReader } from "./tag.js";

const CONNECT_MS = 3000;
const GATHER_MS = 1000;
const FRAMELESS_MS = 3000; // after which frames that are announced and not shown have no way for video
const UNSEEN = 3; // frames announced since one was shown: fewer may have been lost on the way
const INTERRUPTED_MS = 2500;
const HEADERS = 256;

let seenSince = 0; // since when somebody sees the page, where somebody does
document.addEventListener("visibilitychange", () => (seenSince = performance.now()));

/** @returns {boolean} Whether this browser has what it takes. */
export function canUseRtc() {
  return "RTCPeerConnection" in window && "requestVideoFrameCallback" in HTMLVideoElement.prototype;
}

/** Carries one session; the listener hears `opened`, `message`, `frame` and `failed`. */
export class RtcTransport {
  name = "WebRTC";
  #listener;
  #picture;
  #connection;
  #channel;
  #tags = new TagReader();
  #headers = new Map();
  #shown = new Map();
  #timers = new Map();
  #unseen = 0;
  #closed = false;

  /**
   * @param {string} session
   * @param {object} listener
   * @param {import("./picture.js").Picture} picture Shows the frames.
   * @param {RTCIceServer[]} iceServers
   */
  constructor(session, listener, picture, iceServers) {
    this.#listener = listener;
    this.#picture = picture;
    this.#connection = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.#channel = this.#connection.createDataChannel("control");
    this.#channel.onopen = () => this.#opened();
    this.#channel.onmessage = ({ data }) => this.#received(JSON.parse(data));
    this.#channel.onclose = () => this.#fail("The WebRTC connection was closed.");
    this.#connection.onconnectionstatechange = () => this.#changed();
    this.#connection.ontrack = ({ receiver, track }) => this.#play(receiver, track);
    this.#wait("connect", CONNECT_MS, "WebRTC found no way to the server.");
    this.#offer(session).catch(() => this.#fail("The server did not take the WebRTC offer."));
  }

  /** @returns {Promise<object>} What `hello` says of this transport. */
  async greeting() {
    return { tag: true };
  }

  /** @returns {boolean} Whether it was sent. */
  send(message) {
    if (this.#channel.readyState !== "open") return false;
    this.#channel.send(JSON.stringify(message));
    return true;
  }

  /** Let go of the session; the listener hears no more. */
  close() {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#connection.close();
    this.#picture.video.srcObject = null;
  }

  async #offer(session) {
    const connection = this.#connection;
    connection.addTransceiver("video", { direction: "recvonly" });
    await connection.setLocalDescription();
    await gathered(connection);
    const { type, sdp } = connection.localDescription;
    const isBarred = connection.iceGatheringState === "complete" && !sdp.includes("a=candidate");
    if (isBarred) return this.#fail("This browser may not use WebRTC here.");
    const answer = await answerTo(session, { type, sdp });
    return this.#closed ? undefined : connection.setRemoteDescription(answer);
  }

  #opened() {
    this.#stopWaiting("connect");
    this.#listener.opened();
  }

  #changed() {
    const state = this.#connection.connectionState;
    if (state === "failed") this.#fail("The WebRTC connection failed.");
    else if (state === "disconnected") this.#wait("interrupted", INTERRUPTED_MS, "WebRTC was interrupted.");
    else this.#stopWaiting("interrupted");
  }

  #play(receiver, track) {
    if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
    if ("playoutDelayHint" in receiver) receiver.playoutDelayHint = 0;
    const { video } = this.#picture;
    video.srcObject = new MediaStream([track]);
    video.play().catch(() => {}); // refused while the tab is hidden; muted video plays by itself later
    this.#picture.seeVideo(!this.#picture.isSmall);
    video.requestVideoFrameCallback((...when) => this.#presented(...when));
  }

  #presented(now, { expectedDisplayTime }) {
    if (this.#closed) return;
    const { video } = this.#picture;
    video.requestVideoFrameCallback((...when) => this.#presented(...when));
    this.#unseen = 0;
    this.#stopWaiting("frameless");
    if (this.#picture.isSmall) this.#picture.paintVideo();
    const number = this.#tags.read(video);
    if (number === null) return;
    keepIn(this.#shown, number, Math.max(now, expectedDisplayTime ?? 0));
    this.#join(number);
  }

  #received(message) {
    if (this.#closed) return;
    if (message.type === "frame") this.#announced(message);
    else this.#listener.message(message);
  }

  #announced(header) {
    const number = header.frame & 0xffffff;
    keepIn(this.#headers, number, header);
    this.#unseen += 1;
    if (this.#unseen >= UNSEEN) this.#wait("frameless", FRAMELESS_MS, "No video came over WebRTC.");
    this.#join(number);
  }

  /** Header and pixels travel apart, and either may come first. */
  #join(number) {
    const [header, at] = [this.#headers.get(number), this.#shown.get(number)];
    if (!header || at === undefined) return;
    this.#headers.delete(number);
    this.#shown.delete(number);
    this.#listener.frame(header, at);
  }

  #wait(name, patience, reason) {
    if (this.#timers.has(name)) return;
    const over = () => {
      this.#timers.delete(name);
      const isSeen = !document.hidden && performance.now() - seenSince >= patience;
      if (isSeen) this.#fail(reason);
      else this.#wait(name, patience, reason); // a hidden page is shown nothing, and waits
    };
    this.#timers.set(name, setTimeout(over, patience));
  }

  #stopWaiting(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  #fail(reason) {
    if (this.#closed) return;
    this.close();
    this.#listener.failed(reason);
  }
}

/** The candidates travel with the offer; those that take long are done without. */
function gathered(connection) {
  return new Promise((done) => {
    const check = () => connection.iceGatheringState === "complete" && done();
    connection.addEventListener("icegatheringstatechange", check);
    setTimeout(done, GATHER_MS);
    check();
  });
}

function keepIn(map, key, value) {
  map.set(key, value);
  if (map.size > HEADERS) map.delete(map.keys().next().value);
}
