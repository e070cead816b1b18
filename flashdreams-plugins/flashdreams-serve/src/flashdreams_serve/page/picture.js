/** The picture: a video element for large models, a canvas for small ones and for frames by WebSocket. */

import { stripHeight } from "./tag.js";

const SMALL = 256; // pixels of height up to which a model's pixels are shown as squares

/** Shows frames, as large as its stage allows. */
export class Picture {
  #stage;
  #box;
  #canvas;
  #context;
  #video;
  #height = 64;
  #width = 64;

  /** @param {HTMLElement} stage Holds the box with the video and the canvas. */
  constructor(stage) {
    this.#stage = stage;
    this.#box = stage.querySelector(".picture");
    this.#canvas = this.#box.querySelector("canvas");
    this.#context = this.#canvas.getContext("2d", { alpha: false });
    this.#video = this.#box.querySelector("video");
    new ResizeObserver(() => this.#fit()).observe(stage);
  }

  /** @returns {HTMLVideoElement} Plays what comes by WebRTC. */
  get video() {
    return this.#video;
  }

  /** @returns {number} Where it ends in the window, in pixels from the left. */
  get right() {
    return this.#box.getBoundingClientRect().right;
  }

  /** @returns {boolean} Whether the model's pixels are few enough to be shown as sharp squares. */
  get isSmall() {
    return this.#height <= SMALL;
  }

  /**
   * Make room for the frames of a model.
   * @param {{height: number, width: number}} model Size of its frames as it makes them.
   */
  hold({ height, width }) {
    [this.#height, this.#width] = [height, width];
    this.#canvas.width = width;
    this.#canvas.height = height;
    this.#stage.dataset.shape = width > 1.3 * height ? "wide" : "square";
    this.#stage.dataset.small = String(this.isSmall);
    this.#box.style.setProperty("--with-strip", String((height + stripHeight(width)) / height));
    this.#fit();
  }

  /** Whether the video element itself is seen, or the canvas above it. */
  seeVideo(seen) {
    this.#box.dataset.sees = seen ? "video" : "canvas";
  }

  /**
   * Put a frame on the canvas.
   * @param {CanvasImageSource} frame Of the model's size, or of any other: it fills the picture.
   */
  paint(frame) {
    this.#context.imageSmoothingEnabled = false;
    this.#context.drawImage(frame, 0, 0, this.#width, this.#height);
  }

  /** Put what the video shows on the canvas, without the strip below it, at the size that the model made. */
  paintVideo() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    const [across, down] = [this.#width, this.#height];
    this.#context.imageSmoothingEnabled = true;
    this.#context.drawImage(this.#video, 0, 0, width, height - stripHeight(width), 0, 0, across, down);
  }

  #fit() {
    const { clientWidth, clientHeight } = this.#stage;
    if (!clientWidth || !clientHeight) return;
    const scale = Math.min(clientWidth / this.#width, clientHeight / this.#height);
    const ratio = window.devicePixelRatio || 1;
    const whole = Math.floor(scale * ratio) / ratio;
    const used = this.isSmall && whole > 0 ? whole : scale;
    this.#box.style.setProperty("--width", `${this.#width * used}px`);
    this.#box.style.setProperty("--height", `${this.#height * used}px`);
  }
}
