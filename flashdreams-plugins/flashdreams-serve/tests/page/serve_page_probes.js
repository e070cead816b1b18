/** What the tests of the page look at, from inside the page. */

window.probe = {
  /** What the canvas shows while so many chunks are made, as RGBA one after the other. */
  record: (chunks) => new Promise((done) => {
    const context = document.querySelector("canvas").getContext("2d");
    const began = flashdreams.header.chunk, pictures = [];
    let shown = 0;
    const look = () => {
      if (flashdreams.frames > shown) pictures.push(...context.getImageData(0, 0, 64, 64).data);
      shown = flashdreams.frames;
      if (flashdreams.header.chunk < began + chunks) requestAnimationFrame(look);
      else done(pictures);
    };
    look();
  }),

  /** Name and outline of what has the focus. */
  focus: () => {
    const at = document.activeElement;
    return [at.getAttribute("aria-label") ?? "", getComputedStyle(at).outlineStyle];
  },

  /** What a screen reader has no name for. */
  nameless: () => {
    const name = (at) => at.getAttribute("aria-label") || at.labels?.[0]?.textContent || at.textContent;
    return [...document.querySelectorAll("button, input, textarea, a, [role=group], [role=img], dialog")]
      .filter((at) => at.checkVisibility() && !at.getAttribute("aria-labelledby"))
      .filter((at) => !(name(at) ?? "").trim())
      .map((at) => at.outerHTML);
  },

  /** Text that stands out too little from what is behind it, with its contrast. */
  faint: () => {
    const parsed = (colour) => {
      const [red, green, blue, alpha = 1] = colour.match(/[0-9.]+/g).map(Number);
      return { rgb: [red, green, blue], alpha };
    };
    const behind = (at) => {
      if (!at) return [255, 255, 255];
      const { rgb, alpha } = parsed(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return rgb;
      return behind(at.parentElement).map((under, index) => under + alpha * (rgb[index] - under));
    };
    const light = (rgb) => rgb
      .map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
      .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
    const contrast = (at) => {
      const [one, other] = [light(parsed(getComputedStyle(at).color).rgb), light(behind(at))];
      return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    };
    const hasText = (at) => [...at.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    return [...document.body.querySelectorAll("*")]
      .filter((at) => hasText(at) && at.checkVisibility({ opacityProperty: true }))
      .map((at) => [at.textContent.trim().slice(0, 40), contrast(at)])
      .filter(([, ratio]) => ratio < 4.5);
  },

  /** What is not wholly in the window. */
  outside: () => {
    const inside = ({ left, top, right, bottom }) =>
      left >= 0 && top >= 0 && right <= innerWidth + 0.5 && bottom <= innerHeight + 0.5;
    return [...document.querySelectorAll(".picture, button, .label, .bar *")]
      .filter((at) => at.checkVisibility() && !inside(at.getBoundingClientRect()))
      .map((at) => at.outerHTML.slice(0, 80));
  },

  /** What lies over something else, and how much of it. */
  overlaps: () => {
    const parts = [...document.querySelectorAll(".picture, .gauge, .hold, .commands button, h1, .state, .summary")]
      .filter((at) => at.checkVisibility());
    const common = (one, other) => {
      const [a, b] = [one.getBoundingClientRect(), other.getBoundingClientRect()];
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      return Math.min(across, down);
    };
    return parts.flatMap((one, index) => parts.slice(index + 1)
      .filter((other) => !one.contains(other) && common(one, other) > 0.5)
      .map((other) => [one.outerHTML.slice(0, 60), other.outerHTML.slice(0, 60), common(one, other)]));
  },

  /** How much moved while the page was loaded, as browsers measure it. */
  shifted: () => new Promise((done) => {
    let sum = 0;
    new PerformanceObserver((list) => {
      for (const shift of list.getEntries()) sum += shift.value;
    }).observe({ type: "layout-shift", buffered: true });
    setTimeout(() => done(sum), 300);
  }),

  /** Numbers and shades of H.264 frames; null where this browser decodes none. */
  decode: async (units) => {
    const { FrameDecoder, decodesH264 } = await import("/page/decoding.js");
    if (!(await decodesH264())) return null;
    const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const context = document.createElement("canvas").getContext("2d");
    return new Promise((done) => {
      const drawn = [];
      const decoder = new FrameDecoder("h264", (header, frame) => {
        context.drawImage(frame, 0, 0);
        drawn.push([header.frame, context.getImageData(64, 64, 1, 1).data[0]]);
        if (drawn.length === units.length) done(drawn);
      });
      units.forEach(([frame, key, unit]) => decoder.take({ frame, key }, bytes(unit)));
      setTimeout(() => done(drawn), 5000);
    });
  },

  /** Send more messages over WebRTC than a server bears. */
  flood: () => {
    for (let count = 0; count < 300; count++) probe.channel.send(JSON.stringify({ type: "ping", sent_at: count }));
  },

  /** Show no frame any more that comes as video. */
  freeze: () => {
    HTMLVideoElement.prototype.requestVideoFrameCallback = () => 0;
  },

  /** Values and time stamps of what is sent where an axis is pushed at 10 ms and let go at 20. */
  stamps: async () => {
    const { Controls, ControlSender } = await import("/page/controls.js");
    const sent = [];
    const sender = new ControlSender((message) => sent.push(message) > 0, 0);
    const steering = { axes: [{ name: "axis", rest: 0 }], choices: [] };
    const controls = new Controls(steering, (urgent, at) => sender.changed(urgent, at));
    sender.follow(controls);
    controls.press("key", [["axis", 1]], 10);
    controls.release("key", 20);
    await new Promise((done) => setTimeout(done, 200));
    return sent.map(({ values, sent_at: at }) => [values.axis, at]);
  },

  /** A gamepad that a test can move. */
  plugInGamepad: () => {
    const buttons = Array.from({ length: 16 }, () => ({ pressed: false, value: 0 }));
    const pad = { id: "pad", index: 0, connected: true, mapping: "standard", axes: [0, 0, 0, 0], buttons };
    navigator.getGamepads = () => [pad];
    probe.pad = pad;
    dispatchEvent(Object.assign(new Event("gamepadconnected"), { gamepad: pad }));
  },

  /** How far each gauge is moved. */
  gauges: () => [...document.querySelectorAll(".needle")].map((at) => at.style.getPropertyValue("--at")),

  /** End the session, where there is one. */
  leave: async () => {
    const { session } = window.flashdreams ?? {};
    if (session) await fetch(`v1/sessions/${session}`, { method: "DELETE" });
  },
};

{
  const make = RTCPeerConnection.prototype.createDataChannel;
  RTCPeerConnection.prototype.createDataChannel = function (...words) {
    return (window.probe.channel = make.apply(this, words));
  };
}
