/** The number that each frame carries in a strip of squares below the picture. */

const SQUARES = 32;
const SAMPLES = 4; // pixels of the small canvas for each square

/**
 * Height of the strip below a picture.
 * @param {number} width Width of the picture in pixels.
 * @returns {number} 1/32 of it, rounded up to an even number.
 */
export function stripHeight(width) {
  return 2 * Math.ceil(width / SQUARES / 2);
}

/**
 * The number that the bits of a strip stand for.
 * @param {boolean[]} bits 32 of them, the most significant first.
 * @returns {number | null} The lower 24 bits of a frame's number; null where the checksum is wrong.
 */
export function numberOf(bits) {
  const [high, middle, low, checksum] = [0, 8, 16, 24].map((from) =>
    bits.slice(from, from + 8).reduce((byte, bit) => byte * 2 + (bit ? 1 : 0), 0),
  );
  const right = ~(high + middle + low) & 0xff;
  return checksum === right ? (high << 16) | (middle << 8) | low : null;
}

/** Reads strips, through a canvas as small as they allow. */
export class TagReader {
  #context;

  constructor() {
    const canvas = document.createElement("canvas");
    canvas.width = SQUARES * SAMPLES;
    canvas.height = SAMPLES;
    this.#context = canvas.getContext("2d", { willReadFrequently: true });
  }

  /**
   * The number below the picture that a video shows now.
   * @param {HTMLVideoElement} video Its picture with the strip.
   * @returns {number | null} Null where none can be read.
   */
  read(video) {
    const { videoWidth: width, videoHeight: height } = video;
    const strip = stripHeight(width);
    const [across, down] = [SQUARES * SAMPLES, SAMPLES];
    this.#context.drawImage(video, 0, height - strip, width, strip, 0, 0, across, down);
    const { data } = this.#context.getImageData(0, 0, across, down);
    return numberOf(Array.from({ length: SQUARES }, (_, square) => isWhite(data, square)));
  }
}

/** Whether the middle of a square is white: its edges are blurred by the codec. */
function isWhite(data, square) {
  let sum = 0;
  for (const row of [1, 2]) {
    for (const column of [1, 2]) {
      sum += data[4 * (row * SQUARES * SAMPLES + square * SAMPLES + column) + 1];
    }
  }
  return sum / 4 > 127;
}
