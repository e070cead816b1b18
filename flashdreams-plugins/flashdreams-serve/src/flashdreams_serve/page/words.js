/** What people read of how things stand. */

const ENDINGS = {
  closed: ["You ended this dream.", ""],
  idle: ["Nobody was there.", "The dream ended after a while without a sign of you."],
  left: ["The connection was away for too long.", "The server kept the dream for a while, then let it go."],
  drained: ["The server is shutting down.", "It ended the dream in good order."],
  failed: ["The dream broke off.", "Something went wrong on the server; its log says what."],
  finished: ["The dream is complete.", "The model makes no more of it."],
  no_memory: ["The server ran out of memory.", "It had to let this dream go; others go on."],
};

/**
 * The curtain of a state: a title, a text, and the actions that it offers.
 * @param {string} state
 * @param {object} detail What is known of it.
 * @returns {{title: string, text: string, act?: string, also?: string} | null} Null if the picture is seen.
 */
export function curtainOf(state, detail) {
  const made = CURTAINS[state];
  return made ? { text: "", ...made(detail) } : null;
}

const CURTAINS = {
  connecting: () => ({ title: "Connecting", text: "Finding the server." }),
  loading: ({ seconds }) => ({
    title: "Loading the model",
    text:
      seconds > 90
        ? `${seconds} s so far. Large models take minutes; the server's terminal shows how far it is.`
        : `${seconds} s so far. It begins by itself.`,
  }),
  choosing: () => ({
    title: "What shall it dream?",
    text: "Say how it begins, then steer.",
    act: "Choose a beginning",
  }),
  queued: ({ position, grace }) => ({
    title: position > 1 ? `You are number ${position} in line` : "You are next",
    text: `Every place is taken. Yours begins by itself, as soon as one is free: up to ${grace} s after somebody leaves.`,
    also: "Leave the line",
  }),
  opening: () => ({ title: "Falling asleep", text: "The dream begins in a moment.", also: "Cancel" }),
  reconnecting: ({ wait, left }) => ({
    title: "Connection lost",
    text: `Your dream goes on where it was if the way is free within ${left} s. Trying again ${wait > 0 ? `in ${wait} s` : "now"}.`,
    act: "Try now",
  }),
  ended: ({ reason, video }) => {
    const [title, text] = ENDINGS[reason] ?? ["The dream has ended.", ""];
    const saved = reason === "drained" && video ? " The video of it was saved on the server's side." : "";
    return { title, text: text + saved, act: "Dream again" };
  },
  elsewhere: () => ({
    title: "Open in another tab",
    text: "This dream goes on there: one page steers it at a time.",
    act: "Take it back",
  }),
  full: ({ what, wait }) => ({
    title: "No place is free",
    text: `${what || "Every place and the whole line are taken."} Asking again in ${wait} s.`,
    act: "Ask now",
    also: "Stop asking",
  }),
  draining: ({ wait }) => ({
    title: "The server is shutting down",
    text: `It begins no more dreams. Looking again in ${wait} s.`,
    act: "Look now",
  }),
  failed: () => ({
    title: "The model could not be loaded",
    text: "The server's terminal says why. Start it again once that is put right.",
    act: "Look again",
  }),
  unreachable: ({ wait }) => ({
    title: "The server does not answer",
    text: `Is it still running? Trying again in ${wait} s.`,
    act: "Try now",
  }),
  refused: ({ what }) => ({ title: "That could not begin", text: what, act: "Choose another beginning" }),
  token: () => ({
    title: "A token, please",
    text: "This server is not open to everybody. Whoever runs it sees the token in its terminal.",
    act: "Give the token",
  }),
  broken: () => ({
    title: "This page has failed",
    text: "It may be older than the server. Load it again; the browser's console says what was wrong.",
    act: "Load it again",
  }),
};

/**
 * One word for how things stand.
 * @param {string} state
 * @returns {string}
 */
export function stateWord(state) {
  return STATE_WORDS[state] ?? state;
}

const STATE_WORDS = {
  connecting: "Connecting",
  loading: "Loading",
  choosing: "Ready",
  queued: "In line",
  opening: "Beginning",
  live: "Live",
  paused: "Paused",
  reconnecting: "Reconnecting",
  ended: "Ended",
  elsewhere: "Elsewhere",
  full: "Full",
  draining: "Shutting down",
  failed: "Failed",
  unreachable: "No answer",
  refused: "Refused",
  token: "Locked",
  broken: "Failed",
};

/**
 * What people are told once a dream begins with what they chose.
 * @param {{image?: string, start?: string, prompt?: string}} opening
 * @returns {string}
 */
export function begunFrom({ image, start, prompt }) {
  if (image) return "Begun again from your image.";
  if (start) return `Begun again from the start “${titled(start)}”.`;
  return prompt ? "Begun again with your prompt." : "Begun again.";
}

/**
 * A name as a label.
 * @param {string} label
 * @returns {string} With a capital letter.
 */
export function titled(label) {
  return label.charAt(0).toUpperCase() + label.slice(1);
}
