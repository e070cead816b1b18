/** The server's requests: everything that is not a stream. */

const PATIENCE_MS = 10_000;

/** The server refused a request, and says why in words for people. */
export class Refusal extends Error {
  /**
   * @param {number} status Of HTTP.
   * @param {{code?: string, what?: string, right?: string, next?: string}} error As the protocol has it.
   */
  constructor(status, error) {
    const sentences = [error.what, error.right, error.next].filter(Boolean);
    super(sentences.join(" ") || `The server answered ${status}.`);
    this.status = status;
    this.code = error.code ?? "";
    this.what = error.what ?? "";
  }
}

/** Nobody answered. */
export class Unreachable extends Error {}

/** @returns {Promise<{phase: string, model: object}>} How far the server is, and what it serves. */
export async function served() {
  const { phase, models } = await asked("v1/models");
  return { phase, model: models[0] };
}

/**
 * Begin a session.
 * @param {object} opening What it begins with: `seed`, `prompt`, `start`, `image`.
 * @returns {Promise<object>} The session, which may have to wait in the queue.
 */
export function openSession(opening) {
  return asked("v1/sessions", { method: "POST", ...asJson(opening) });
}

/** @returns {Promise<object | null>} How a session stands; null where it is over. */
export async function sessionNow(session) {
  try {
    const view = await asked(`v1/sessions/${session}`);
    return view.state === "ended" ? null : view;
  } catch (error) {
    if (error instanceof Refusal && error.status === 404) return null;
    throw error;
  }
}

/** End a session. */
export async function closeSession(session) {
  await asked(`v1/sessions/${session}`, { method: "DELETE" });
}

/**
 * Send an image that a dream may begin with.
 * @param {Blob} image
 * @returns {Promise<string>} Its name.
 */
export async function sendImage(image) {
  const body = { method: "POST", headers: { "Content-Type": image.type }, body: image };
  return (await asked("v1/images", body)).image;
}

/** @returns {Promise<object>} The answer to a WebRTC offer. */
export function answerTo(session, offer) {
  return asked(`v1/sessions/${session}/offer`, { method: "POST", ...asJson(offer) });
}

/** @returns {string} Where a session streams by WebSocket. */
export function streamUrl(session) {
  const url = new URL(`v1/sessions/${session}/stream`, document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** @returns {string} Where a saved video lies. */
export function videoUrl(session, name) {
  return new URL(`v1/sessions/${session}/videos/${encodeURIComponent(name)}`, document.baseURI).href;
}

function asJson(value) {
  return { headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) };
}

async function asked(path, options) {
  const response = await requested(path, options);
  const said = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(response.status, said.error ?? {});
  return said;
}

async function requested(path, options = {}) {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    return await fetch(new URL(path, document.baseURI), { signal, cache: "no-store", ...options });
  } catch (error) {
    throw new Unreachable(String(error));
  }
}
