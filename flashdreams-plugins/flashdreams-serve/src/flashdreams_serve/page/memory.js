/** What a tab remembers over a reload: its session. And a browser for longer: whether figures are open. */

const SESSION = "flashdreams.session";
const FIGURES = "flashdreams.figures";

/** @returns {{session: string, seq: number} | null} The session of this tab. */
export function rememberedSession() {
  try {
    return JSON.parse(sessionStorage.getItem(SESSION));
  } catch {
    return null; // storage is forbidden, or holds something else
  }
}

/** @param {{session: string, seq: number} | null} kept Null forgets it. */
export function rememberSession(kept) {
  attempt(() => {
    if (kept) sessionStorage.setItem(SESSION, JSON.stringify(kept));
    else sessionStorage.removeItem(SESSION);
  });
}

/** @returns {boolean | null} Whether the figures were open; null where nobody ever said. */
export function rememberedFigures() {
  return attempt(() => JSON.parse(localStorage.getItem(FIGURES))) ?? null;
}

/** @param {boolean} open */
export function rememberFigures(open) {
  attempt(() => localStorage.setItem(FIGURES, JSON.stringify(open)));
}

function attempt(act) {
  try {
    return act();
  } catch {
    return undefined;
  }
}
