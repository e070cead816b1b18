/** Shows openapi.json to people. Reads only; nothing is asked of anybody else. */

const DEEPEST = 6;

/** @returns {HTMLElement} An element that holds what it is given, as text or as elements. */
function made(name, className, ...content) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

/** The requests of a description, by their first tag. */
function byTag(description) {
  const groups = new Map();
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] ?? "others";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push({ path, method: method.toUpperCase(), operation });
    }
  }
  return groups;
}

/** What a schema admits, in the words of a person: its shape, written like JSON. */
class Shapes {
  #schemas;

  constructor(description) {
    this.#schemas = description.components?.schemas ?? {};
  }

  text(schema, depth = 0) {
    const shape = this.#resolved(schema);
    if (depth > DEEPEST) return "…";
    if (shape.anyOf) return shape.anyOf.map((each) => this.text(each, depth)).join(" or ");
    if (shape.const !== undefined) return JSON.stringify(shape.const);
    if (shape.enum) return shape.enum.map((each) => JSON.stringify(each)).join(" | ");
    if (shape.properties) return this.#object(shape, depth);
    if (shape.type === "array") return `[${this.text(shape.items ?? {}, depth + 1)}, …]`;
    return `${shape.type ?? "anything"}${bounds(shape)}`;
  }

  #object(shape, depth) {
    const indent = "  ".repeat(depth + 1);
    const fields = Object.entries(shape.properties).map(([name, field]) => {
      const needed = shape.required?.includes(name) ? "" : "?";
      const note = this.#resolved(field).description;
      const comment = note && !field.$ref ? `  // ${note}` : "";
      return `${indent}"${name}"${needed}: ${this.text(field, depth + 1)}${comment}`;
    });
    return `{\n${fields.join("\n")}\n${"  ".repeat(depth)}}`;
  }

  #resolved(schema) {
    return schema.$ref ? (this.#schemas[schema.$ref.split("/").at(-1)] ?? {}) : schema;
  }
}

/** The bounds of a number or a text. */
function bounds(shape) {
  const low = shape.minimum ?? shape.minLength ?? shape.minItems;
  const high = shape.maximum ?? shape.maxLength ?? shape.maxItems;
  if (low === undefined && high === undefined) return "";
  return ` (${low ?? ""}…${high ?? ""})`;
}

function contents(content, shapes) {
  return Object.entries(content ?? {}).map(([type, { schema }]) => {
    const shape = schema ? shapes.text(schema) : "";
    return made("div", "", made("code", "quiet", type), shape ? made("pre", "", shape) : "");
  });
}

function answers(responses, shapes) {
  const rows = Object.entries(responses).map(([status, response]) => {
    const shown = status < "300" ? contents(response.content, shapes) : [];
    return made("tr", "", made("td", "", made("code", "", status)), made("td", "", response.description, ...shown));
  });
  return made("table", "", ...rows);
}

function request({ path, method, operation }, shapes) {
  const open = operation.security?.length === 0 ? " (needs no token)" : "";
  const title = made("summary", "", made("span", "method", method), made("code", "", path));
  const parts = [title, made("p", "", (operation.description ?? operation.summary ?? "") + open)];
  for (const { name, description, schema } of operation.parameters ?? []) {
    parts.push(made("p", "", made("code", "", name), ` ${description ?? ""} `, made("span", "quiet", shapes.text(schema))));
  }
  if (operation.requestBody) parts.push(made("h3", "", "Body"), ...contents(operation.requestBody.content, shapes));
  parts.push(made("h3", "", "Answers"), answers(operation.responses, shapes));
  return made("details", "", ...parts);
}

async function show() {
  const about = document.getElementById("about");
  const response = await fetch(new URL("openapi.json", document.baseURI));
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  const description = await response.json();
  const shapes = new Shapes(description);
  about.textContent = description.info.description;
  for (const [tag, requests] of byTag(description)) {
    const group = made("section", "", made("h2", "", tag), ...requests.map((each) => request(each, shapes)));
    document.getElementById("requests").append(group);
  }
}

show().catch((error) => {
  document.getElementById("about").textContent = `The description could not be read: ${error.message}`;
});
