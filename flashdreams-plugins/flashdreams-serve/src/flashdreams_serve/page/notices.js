/** Short messages that people hear of without being interrupted. */

import { element } from "./panel.js";

const SECONDS = { plain: 5, problem: 9, link: 30 };
const MOST = 4;
const SMALL = matchMedia("(max-width: 759px), (max-height: 520px)"); // where one hides enough of the picture

/** A few messages in a corner, the newest last. */
export class Notices {
  #place;

  /** @param {HTMLElement} place A live region. */
  constructor(place) {
    this.#place = place;
  }

  /** @param {string} text Something happened. */
  say(text) {
    this.#add("plain", text);
  }

  /** @param {string} text Something did not work. */
  complain(text) {
    this.#add("problem", text);
  }

  /**
   * Something can be fetched.
   * @param {string} text
   * @param {string} url
   * @param {string} name Of the file.
   */
  offer(text, url, name) {
    const link = element("a", "", "Download");
    Object.assign(link, { href: url, download: name });
    this.#add("link", text, link);
  }

  #add(kind, text, ...more) {
    const notice = element("div", `notice ${kind}`);
    const away = element("button", "away", "×");
    away.type = "button";
    away.setAttribute("aria-label", "Dismiss");
    away.addEventListener("click", () => notice.remove());
    notice.append(element("p", "", text), ...more, away);
    this.#place.append(notice);
    const most = SMALL.matches ? 1 : MOST;
    while (this.#place.children.length > most) this.#place.firstElementChild.remove();
    setTimeout(() => notice.remove(), 1000 * SECONDS[kind]);
  }
}
