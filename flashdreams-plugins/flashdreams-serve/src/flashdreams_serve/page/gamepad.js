/** Gamepads, by the W3C's standard mapping. */

const PLAY = 0.12; // of a stick at rest
const READERS = {
  "left-x": (pad) => pad.axes[0],
  "left-y": (pad) => pad.axes[1],
  "right-x": (pad) => pad.axes[2],
  "right-y": (pad) => pad.axes[3],
  "left-trigger": (pad) => pad.buttons[6]?.value,
  "right-trigger": (pad) => pad.buttons[7]?.value,
};

/**
 * The value of an axis for where its stick or trigger stands.
 * @param {{low: number, high: number, rest: number}} axis
 * @param {number} place In [-1, 1].
 * @returns {number | null} Rounded to hundredths; null where it is at rest.
 */
export function axisAt(axis, place) {
  if (!(Math.abs(place) > PLAY)) return null;
  const share = Math.min(1, (Math.abs(place) - PLAY) / (1 - PLAY));
  const end = place < 0 ? axis.low : axis.high;
  return Math.round((axis.rest + share * (end - axis.rest)) * 100) / 100;
}

/**
 * Let gamepads steer, from the moment one of their buttons is pressed.
 * @param {() => object | null} steering What the model can be told, once that is known.
 * @param {(values: Record<string, number>) => void} push Told the axes that are moved.
 * @param {(name: string | null) => void} found Told which gamepad there is.
 */
export function watchGamepads(steering, push, found) {
  let watching = false;
  const look = () => {
    const pad = navigator.getGamepads().find((pad) => pad?.connected && pad.mapping === "standard");
    watching = Boolean(pad) || navigator.getGamepads().some(Boolean);
    push(pad ? moved(steering()?.axes ?? [], pad) : {});
    if (watching) requestAnimationFrame(look);
  };
  addEventListener("gamepadconnected", ({ gamepad }) => {
    found(gamepad.id);
    if (!watching) look();
  });
  addEventListener("gamepaddisconnected", () => found(null));
}

function moved(axes, pad) {
  const values = {};
  for (const axis of axes) {
    const value = axis.pad ? axisAt(axis, READERS[axis.pad](pad) ?? 0) : null;
    if (value !== null) values[axis.name] = value;
  }
  return values;
}
