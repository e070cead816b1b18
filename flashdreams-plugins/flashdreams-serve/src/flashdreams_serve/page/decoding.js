/** From the bytes of frames to pictures that can be drawn. */

const START_OF_PARAMETERS = 7; // type of the H.264 unit that says how to decode the others
const WAITING = 8; // frames in the decoder from which it is too slow and begins anew at a key frame

/** @returns {Promise<boolean>} Whether this browser decodes H.264 frame by frame. */
export async function decodesH264() {
  const asked = { codec: "avc1.42c033", optimizeForLatency: true }; // as the server encodes it
  return (await window.VideoDecoder?.isConfigSupported(asked).catch(() => null))?.supported ?? false;
}

/** Decodes the frames of one connection in order; where they come too fast the newest wins. */
export class FrameDecoder {
  #decoder;

  /**
   * @param {string} codec "jpeg", "png" or "h264".
   * @param {(header: object, frame: CanvasImageSource) => void} draw Called with each frame to be seen.
   */
  constructor(codec, draw) {
    this.#decoder = codec === "h264" ? new VideoFrames(draw) : new Images(codec, draw);
  }

  /**
   * @param {object} header
   * @param {Uint8Array} bytes
   */
  take(header, bytes) {
    this.#decoder.take(header, bytes);
  }

  /** Draw nothing any more. */
  close() {
    this.#decoder.close();
  }
}

/** Each frame is an image of its own: one is decoded at a time, and one waits. */
class Images {
  #type;
  #draw;
  #next = null;
  #busy = false;

  constructor(codec, draw) {
    this.#type = `image/${codec}`;
    this.#draw = draw;
  }

  take(header, bytes) {
    this.#next = { header, bytes };
    if (!this.#busy) this.#work();
  }

  close() {
    this.#draw = () => {};
    this.#next = null;
  }

  async #work() {
    this.#busy = true;
    while (this.#next) {
      const { header, bytes } = this.#next;
      this.#next = null;
      const bitmap = await createImageBitmap(new Blob([bytes], { type: this.#type })).catch(() => null);
      if (!bitmap) continue; // a broken frame is passed over: the next one stands alone
      this.#draw(header, bitmap);
      bitmap.close();
    }
    this.#busy = false;
  }
}

/** H.264: each frame builds on those before it, up to the last key frame. */
class VideoFrames {
  #draw;
  #decoder = null;
  #headers = new Map();

  constructor(draw) {
    this.#draw = draw;
  }

  take(header, bytes) {
    if (this.#decoder?.decodeQueueSize > WAITING) this.close();
    if (this.#decoder?.state !== "configured" && !(header.key && this.#begin(bytes))) return;
    this.#headers.set(header.frame, header);
    const type = header.key ? "key" : "delta";
    this.#decoder.decode(new EncodedVideoChunk({ type, timestamp: header.frame, data: bytes }));
  }

  close() {
    if (this.#decoder && this.#decoder.state !== "closed") this.#decoder.close();
    this.#decoder = null;
    this.#headers.clear();
  }

  #begin(bytes) {
    const codec = codecOf(bytes);
    if (!codec) return false;
    this.#decoder = new VideoDecoder({ output: (frame) => this.#decoded(frame), error: () => this.close() });
    this.#decoder.configure({ codec, optimizeForLatency: true });
    return true;
  }

  #decoded(frame) {
    const header = this.#headers.get(frame.timestamp);
    this.#headers.delete(frame.timestamp);
    try {
      if (header) this.#draw(header, frame);
    } finally {
      frame.close(); // a decoder gives only a few, and waits for them to come back
    }
  }
}

/**
 * The codec as WebCodecs names it, from the sequence parameters of a key frame.
 * @param {Uint8Array} bytes An Annex B access unit.
 * @returns {string | null} Such as "avc1.42c01f"; null where it has no sequence parameters.
 */
export function codecOf(bytes) {
  for (let at = 0; at + 6 < bytes.length; at++) {
    const starts = bytes[at] === 0 && bytes[at + 1] === 0 && bytes[at + 2] === 1;
    if (starts && (bytes[at + 3] & 0x1f) === START_OF_PARAMETERS) {
      const described = [...bytes.subarray(at + 4, at + 7)];
      return `avc1.${described.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
    }
  }
  return null;
}
