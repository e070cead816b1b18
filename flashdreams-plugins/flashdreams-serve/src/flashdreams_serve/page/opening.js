/** What a dream begins with: prompt, start, an image of one's own, seed. */

import { counted } from "./lengths.js";
import { element } from "./panel.js";
import { sendImage } from "./server.js";
import { titled } from "./words.js";

const TYPES = ["image/png", "image/jpeg", "image/webp"];

/** Asks in a dialog; what a model does not take is not asked for. */
export class OpeningDialog {
  #dialog;
  #form;
  #steering = null;
  #limits = {};
  #image = null;
  #usual = ""; // the start unless somebody chooses
  #preview = "";
  #begin;

  /**
   * @param {HTMLDialogElement} dialog
   * @param {(opening: object) => void} begin Told what somebody wants to begin with.
   */
  constructor(dialog, begin) {
    [this.#dialog, this.#form, this.#begin] = [dialog, dialog.querySelector("form"), begin];
    this.#form.addEventListener("submit", (event) => this.#submit(event));
    this.#field("file").addEventListener("change", ({ target }) => this.takeImage(target.files[0]));
    this.#part(".no-image").addEventListener("click", () => this.takeImage(null));
    this.#part(".starts").addEventListener("change", () => this.#useImage(null));
    this.#part(".cancel").addEventListener("click", () => dialog.close());
    for (const over of ["dragover", "drop"]) addEventListener(over, (event) => this.#dropped(event));
  }

  /**
   * Ask what this model takes.
   * @param {object} steering
   * @param {object} limits
   * @param {object} opening What it begins with unless something else is asked for.
   */
  build(steering, limits, opening) {
    [this.#steering, this.#limits] = [steering, limits];
    const { prompt, starts, image, needs_image: needsImage } = steering;
    this.#part(".ask-prompt").hidden = !prompt;
    this.#part(".ask-start").hidden = starts.length < 2;
    this.#part(".ask-image").hidden = !(image || needsImage);
    if (prompt) this.#describe(this.#field("prompt"), prompt, opening.prompt);
    this.#usual = opening.start ?? starts[0];
    const chips = starts.map((start) => startChip(start, this.#usual));
    this.#part(".starts").replaceChildren(...chips);
    this.#field("seed").value = opening.seed ?? "";
    this.#part("details").open = opening.seed !== undefined;
  }

  /** Open it. */
  show() {
    if (this.#dialog.open || !this.#steering) return;
    this.#complain("");
    this.#dialog.showModal();
    this.#form.querySelector("textarea:enabled, input:checked, button")?.focus();
    if (this.#steering.prompt) this.#field("prompt").focus();
  }

  /** @param {File | null | undefined} file An image to begin with; null for none. */
  async takeImage(file) {
    const problem = file ? await this.#problemOf(file) : "";
    this.#complain(problem);
    this.#useImage(problem ? null : (file ?? null));
    for (const chip of this.#form.querySelectorAll("[name=start]")) {
      chip.checked = !this.#image && chip.value === this.#usual;
    }
  }

  /** It begins with an image or with a start, never with both. */
  #useImage(image) {
    this.#image = image;
    URL.revokeObjectURL(this.#preview);
    this.#preview = this.#image ? URL.createObjectURL(this.#image) : "";
    const shown = this.#part("img");
    shown.hidden = !this.#image;
    this.#part(".no-image").hidden = !this.#image;
    if (this.#image) shown.src = this.#preview;
    else this.#field("file").value = "";
  }

  #describe(field, prompt, given) {
    field.placeholder = prompt.example;
    field.value = given ?? field.value ?? "";
    const most = Math.min(prompt.longest, this.#limits.prompt_characters ?? prompt.longest);
    field.after(counted(field, most, this.#part(".begin")));
  }

  async #submit(event) {
    event.preventDefault();
    if (this.#steering.needs_image && !this.#image) {
      this.#complain("This model begins with an image: give one.");
      return;
    }
    this.#form.querySelector(".begin").disabled = true;
    try {
      const opening = await this.#opening();
      this.#dialog.close();
      this.#begin(opening);
    } catch (error) {
      this.#complain(error.message);
    } finally {
      this.#form.querySelector(".begin").disabled = false;
    }
  }

  async #opening() {
    const { prompt, starts } = this.#steering;
    const opening = {};
    const words = this.#field("prompt").value.trim() || prompt?.example;
    if (prompt && words) opening.prompt = words;
    if (this.#image) opening.image = await sendImage(this.#image);
    else if (starts.length > 1) opening.start = new FormData(this.#form).get("start");
    if (this.#field("seed").value !== "") opening.seed = Number(this.#field("seed").value);
    return opening;
  }

  #dropped(event) {
    const takes = this.#steering?.image || this.#steering?.needs_image;
    if (!takes || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    if (event.type !== "drop") return;
    this.show();
    this.takeImage(event.dataTransfer.files[0]);
  }

  async #problemOf(file) {
    const most = this.#limits.upload_bytes ?? Infinity;
    if (file.size > most) return `An image has at most ${Math.floor(most / 1024 ** 2)} MB.`;
    const isImage = TYPES.includes(file.type) && (await canBeRead(file));
    return isImage ? "" : `“${file.name}” is no image that can be read: it has to be a PNG, a JPEG or a WebP.`;
  }

  #complain(problem) {
    this.#part(".complaint").textContent = problem;
  }

  #field(name) {
    return this.#form.elements.namedItem(name);
  }

  #part(selector) {
    return this.#form.querySelector(selector);
  }
}

async function canBeRead(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  bitmap?.close();
  return bitmap !== null;
}

function startChip(start, chosen) {
  const label = element("label", "chip");
  const field = element("input");
  Object.assign(field, { type: "radio", name: "start", value: start, checked: start === chosen });
  label.append(field, element("span", "", titled(start).replaceAll(/[-_]/g, " ")));
  return label;
}
