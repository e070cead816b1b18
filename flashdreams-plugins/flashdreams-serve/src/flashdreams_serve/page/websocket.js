/** A session by WebSocket: messages as text, frames as binary with a header in front. */

import { FrameDecoder, decodesH264 } from "./decoding.js";
import { streamUrl } from "./server.js";

const TINY = 128; // pixels of height up to which every pixel is seen, and worth its bytes
const LARGE = 320; // pixels of height from which a video codec is worth its trouble

/** Carries one session; the listener hears `opened`, `message`, `frame` and `lost`. */
export class SocketTransport {
  name = "WebSocket";
  #socket;
  #listener;
  #decoder = null;
  #painted = null; // header of the frame on the canvas, until it is on the screen
  #closed = false;

  /**
   * @param {string} session
   * @param {object} listener
   * @param {import("./picture.js").Picture} picture Shows the frames.
   */
  constructor(session, listener, picture) {
    this.#listener = listener;
    picture.seeVideo(false);
    this.#socket = new WebSocket(streamUrl(session), ["flashdreams.v1"]);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => listener.opened();
    this.#socket.onmessage = ({ data }) => this.#received(data, picture);
    this.#socket.onclose = ({ code }) => this.#lost(code);
  }

  /**
   * What `hello` says of this transport.
   * @param {{height: number}} model
   * @returns {Promise<object>}
   */
  async greeting(model) {
    const video = model.height > LARGE && (await decodesH264()) ? ["h264"] : [];
    const images = model.height > TINY ? ["jpeg", "png"] : ["png", "jpeg"];
    return { codecs: [...video, ...images], tag: false };
  }

  /** @returns {boolean} Whether it was sent. */
  send(message) {
    if (this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Let go of the session; the listener hears no more. */
  close() {
    this.#closed = true;
    this.#decoder?.close();
    this.#socket.close(1000);
  }

  #received(data, picture) {
    if (this.#closed) return;
    if (typeof data === "string") {
      const message = JSON.parse(data);
      if (message.type === "welcome") this.#decoder = this.#newDecoder(message.codec, picture);
      this.#listener.message(message);
    } else {
      this.#decoder?.take(...parted(data));
    }
  }

  #newDecoder(codec, picture) {
    this.#decoder?.close();
    return new FrameDecoder(codec, (header, frame) => {
      picture.paint(frame);
      if (!this.#painted) requestAnimationFrame(() => this.#shown());
      this.#painted = header;
    });
  }

  /** What was painted last comes on the screen now; what was painted over before is seen by nobody. */
  #shown() {
    const header = this.#painted;
    this.#painted = null;
    if (!this.#closed) this.#listener.frame(header, performance.now());
  }

  #lost(code) {
    this.#decoder?.close();
    if (!this.#closed) this.#listener.lost(code);
    this.#closed = true;
  }
}

/**
 * The parts of a binary message.
 * @param {ArrayBuffer} data
 * @returns {[object, Uint8Array]} Header and pixels.
 */
export function parted(data) {
  const length = new DataView(data).getUint32(0);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  return [header, new Uint8Array(data, 4 + length)];
}
