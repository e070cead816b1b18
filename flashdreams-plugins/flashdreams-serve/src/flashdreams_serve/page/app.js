/** The page: joins the parts. */

import { Commands } from "./commands.js";
import { Controls, ControlSender } from "./controls.js";
import { Curtain } from "./curtain.js";
import { Figures } from "./figures.js";
import { watchGamepads } from "./gamepad.js";
import { Keyboard, learnLayout, steeringKeys } from "./keyboard.js";
import { Latencies } from "./latency.js";
import { Life } from "./life.js";
import { rememberSession, rememberedSession } from "./memory.js";
import { Notices } from "./notices.js";
import { OpeningDialog } from "./opening.js";
import { Panel } from "./panel.js";
import { Picture } from "./picture.js";
import { videoUrl } from "./server.js";
import { begunFrom, titled } from "./words.js";

const PROBLEMS = ["refused", "error"];
const REPORT_MS = 5000;
const ROOM_FOR_FIGURES = 312; // pixels beside the picture

const byId = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);

const picture = new Picture(byId("stage"));
const curtain = new Curtain(byId("curtain"), byId("state"));
const notices = new Notices(byId("notices"));
const figures = new Figures(byId("figures"), byId("figures-button"));
const panel = new Panel({ left: byId("left"), right: byId("right"), deck: byId("deck") });
const keyboard = new Keyboard();
const life = new Life(
  {
    entered,
    model: knowModel,
    message: hear,
    frame: showFrame,
    transport: (name, note) => figures.carriedBy(name, note),
  },
  picture,
  ["webrtc", "websocket"].find((name) => name === asked.get("transport")) ?? null,
);
const sender = new ControlSender(
  (message) => life.connection?.send(message) ?? false,
  rememberedSession()?.seq ?? 0,
);
const opening = new OpeningDialog(byId("opening"), begin);
const commands = new Commands(document, life, notices, {
  begin: () => opening.show(),
  figures: () => figures.toggle(),
  steer: () => sender.resend(),
});
const shown = { frames: 0, header: null };
let controls = null;
let latencies = new Latencies(sender.seq);
let waitingText = null; // words that were sent and are not obeyed yet

function entered(state, detail) {
  const wasLive = document.body.dataset.state === "live";
  document.body.dataset.state = state;
  const video = detail.video ? videoUrl(life.session, detail.video) : null;
  const grace = life.model?.limits?.grace_seconds ?? 30;
  curtain.show(state, { ...detail, video, grace }, { act: () => ACTS[state]?.(), also: () => life.leave() });
  commands.update();
  if (state === "live") latencies.skip(wasLive ? 0 : sender.seq);
  controls?.listen(state === "live" || state === "paused");
  figures.moves(state === "live");
  if (state === "choosing" && !byId("opening").open) opening.show();
}

const ACTS = {
  choosing: () => opening.show(),
  refused: () => (life.model ? opening.show() : life.begin()),
  ended: () => life.again(),
  elsewhere: () => life.takeBack(),
  failed: () => life.begin(),
  reconnecting: () => life.hurry(),
  unreachable: () => life.hurry(),
  full: () => life.hurry(),
  draining: () => life.hurry(),
  token: () => location.reload(),
  broken: () => location.reload(),
};

function knowModel(model) {
  if (controls) return;
  const { steering } = model;
  for (const control of [...steering.axes, ...steering.choices, ...steering.texts]) {
    control.label = titled(control.label);
  }
  const most = model.limits?.prompt_characters ?? Infinity;
  for (const text of steering.texts) text.longest = Math.min(text.longest, most);
  document.title = `${model.slug} · FlashDreams`;
  byId("model").textContent = model.slug;
  byId("model").title = model.description;
  figures.expect(model.fps);
  controls = new Controls(steering, (urgent, at) => {
    panel.light();
    sender.changed(urgent, at);
  });
  sender.follow(controls);
  panel.build(steering, controls, sendText);
  picture.hold(model); // as large as the controls leave it
  keyboard.steer(steeringKeys(steering), controls);
  commands.bind(keyboard);
  opening.build(steering, model.limits ?? {}, life.opening);
  figures.place(innerWidth - picture.right >= ROOM_FOR_FIGURES && innerHeight > 600);
}

function begin(wanted) {
  if (life.state === "live" || life.state === "paused") commands.reset(wanted, begunFrom(wanted));
  else life.open(wanted);
}

function hear(message) {
  if (message.type === "welcome") welcome(message);
  else if (message.type === "stats") figures.heard(message);
  else if (message.type === "receipt") obeyed(message.seq);
  else if (PROBLEMS.includes(message.type)) complain(message);
}

function complain({ type, seq, what, right }) {
  notices.complain(`${what} ${right}`);
  if (type === "refused" && waitingText?.seq === seq) {
    waitingText.said.textContent = "Not taken";
    waitingText = null;
  }
}

function welcome({ session }) {
  if (rememberedSession()?.session !== session) commands.forgetMark();
  remember();
  sender.resend();
  latencies = new Latencies(sender.seq);
  figures.follow(latencies);
}

function remember() {
  if (life.session && life.state !== "ended") rememberSession({ session: life.session, seq: sender.seq });
}

function showFrame(header, at) {
  shown.frames += 1;
  shown.header = header;
  sender.atLeast(header.seq);
  figures.shown(at, header.chunk);
  latencies.shown(header, at);
}

function sendText(name, text, form, at) {
  const seq = sender.say({ [name]: text }, at);
  const said = form.querySelector("output");
  said.textContent = seq === null ? "There is no connection just now." : "Sent";
  waitingText = { seq, said };
  if (seq === null) return;
  const field = form.querySelector("input");
  field.value = "";
  field.dispatchEvent(new Event("input"));
}

function obeyed(seq) {
  if (!waitingText || waitingText.seq === null || seq < waitingText.seq) return;
  waitingText.said.textContent = "In effect";
  waitingText = null;
}

function openingInAddress() {
  const wanted = {};
  for (const name of ["prompt", "start"]) if (asked.has(name)) wanted[name] = asked.get(name);
  if (/^\d+$/.test(asked.get("seed") ?? "")) wanted.seed = Number(asked.get("seed"));
  return wanted;
}

setInterval(() => {
  const untold = document.hidden ? [] : latencies.takeUnreported();
  if (untold.length) life.connection?.send({ type: "report", latency_ms: untold });
}, REPORT_MS);
addEventListener("pagehide", ({ persisted }) => {
  remember();
  if (!persisted) life.connection?.sayAway();
});
addEventListener("click", ({ detail, target }) => {
  const isPointer = detail > 0; // of a key it is 0: then the focus stays where it is
  if (isPointer && target.closest("main button, header button")) byId("stage").focus({ preventScroll: true });
});
watchGamepads(
  () => life.model?.steering ?? null,
  (values) => controls?.push(values),
  (name) => figures.pad(name),
);

/** For whoever looks at the page from outside, such as a test. */
window.flashdreams = Object.freeze({
  get state() {
    return life.state;
  },
  get session() {
    return life.session;
  },
  get transport() {
    return document.querySelector("[data-figure=carrier]").textContent;
  },
  get frames() {
    return shown.frames;
  },
  get header() {
    return shown.header && { ...shown.header };
  },
  get latencies() {
    return latencies.all;
  },
  get fps() {
    return figures.fps;
  },
  get seq() {
    return sender.seq;
  },
});

life.opening = openingInAddress();
learnLayout().then(() => life.begin());
