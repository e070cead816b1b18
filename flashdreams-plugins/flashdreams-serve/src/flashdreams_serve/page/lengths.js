/** How long words may be, said while they are written. */

import { element } from "./panel.js";

const NEAR = 0.8; // of the most: from here on somebody wants to know

/**
 * Count what is written into a field, and let nothing be sent that is too long.
 * @param {HTMLInputElement | HTMLTextAreaElement} field
 * @param {number} most Characters, as the server counts them.
 * @param {HTMLButtonElement} send
 * @returns {HTMLElement} Says how many there are, where that matters.
 */
export function counted(field, most, send) {
  const count = element("p", "count");
  count.id = `${field.id}-count`;
  count.setAttribute("role", "status");
  field.setAttribute("aria-describedby", count.id);
  const look = () => {
    const length = [...field.value.trim()].length;
    const isTooLong = length > most;
    count.textContent = length > NEAR * most ? `${length} of ${most} characters` : "";
    count.classList.toggle("over", isTooLong);
    field.setAttribute("aria-invalid", String(isTooLong));
    send.disabled = isTooLong;
  };
  field.addEventListener("input", look);
  look();
  return count;
}
