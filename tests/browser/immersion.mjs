// Ann wears a headset that is made up in her browser, and Gus sees what she does with it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { distance, ensure, Person, story } from "./lib.mjs";

/** The form of the emulator that is one script for a page. */
const IWER = join(process.env.WAYSIDE_BROWSER, "node_modules/iwer/build/iwer.min.js");
const WORN = `
window.headset = new IWER.XRDevice(IWER.metaQuest3);
window.headset.installRuntime({ forceInstall: true });
`;

const NEAR_M = 0.1;
/** A raised hand is above this, over the ground on which somebody stands. */
const RAISED_M = 1.6;
const RAISED = { x: 0.25, y: 1.75, z: -0.35 };
const LOWERED = { x: 0.25, y: 1.0, z: -0.3 };
/** Where the panel opens, before a head that looks straight on, and how it leans back. */
const PANEL = { ahead: 0.85, below: 0.32, lean: 0.3, width: 0.64, height: 0.48 };
/** The middles of its buttons, as shares of its width and height. */
const COLUMNS = [0.27, 0.73];
const ROWS = [0.567, 0.742, 0.917];
const BUTTONS = { wave: [0, 0], dance: [1, 0], done: [0, 2], exit: [1, 2] };

let ann = null;
let gus = null;

/** Ann's page has the headset before any script of its own runs. */
async function arrive({ world, link, user, password }) {
  gus = await Person.open("Gus");
  await gus.enterAsGuest(link);
  ann = await Person.open("Ann");
  await ann.page.addInitScript({ content: readFileSync(IWER, "utf8") + WORN });
  await ann.enterAsMember(world, user, password);
}

/** Puts a controller or a bare hand of Ann somewhere, and lets it point to a place. */
const hold = (kind, side, place, goal = { ...place, z: place.z - 1 }) =>
  ann.page.evaluate(([kind, side, from, to]) => {
    const [x, y, z] = [to.x - from.x, to.y - from.y, to.z - from.z];
    const [yaw, pitch] = [Math.atan2(-x, -z) / 2, Math.atan2(y, Math.hypot(x, z)) / 2];
    const { position, quaternion } = window.headset[kind][side];
    position.set(from.x, from.y, from.z);
    const [sy, cy, sp, cp] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
    quaternion.set(cy * sp, sy * cp, -sy * sp, cy * cp);
  }, [kind, side, place, goal]);
const atHand = (place) => hold("controllers", "right", place);
const press = (id, value) =>
  ann.page.evaluate(([id, value]) => window.headset.controllers.right.updateButtonValue(id, value), [id, value]);
const pinch = (side, value) =>
  ann.page.evaluate(([side, value]) => window.headset.hands[side].updatePinchValue(value), [side, value]);

/** Lets frames pass, in which the page reads what the headset says. */
async function frames(count = 2) {
  const { frame } = await ann.state();
  await ann.until("some frames", (now) => now.frame.count > frame.count + count);
}

/** The middle of a button of the panel, in the room. */
async function onPanel(name) {
  const head = await ann.page.evaluate(() => [...window.headset.position.vec3]);
  const [column, row] = BUTTONS[name];
  const aside = (COLUMNS[column] - 0.5) * PANEL.width;
  const up = (0.5 - ROWS[row]) * PANEL.height;
  return {
    x: head[0] + aside,
    y: head[1] - PANEL.below + up * Math.cos(PANEL.lean),
    z: head[2] - PANEL.ahead - up * Math.sin(PANEL.lean),
  };
}
const stick = (x, y) =>
  ann.page.evaluate((axes) => window.headset.controllers.right.updateAxes("thumbstick", ...axes), [x, y]);
const seen = (now) => now.bodies[0];

async function enter() {
  await atHand(LOWERED);
  await ann.press("Headset");
  await gus.until("Ann's head and hand", (now) => seen(now)?.tracked?.right);
  await Promise.all([ann.picture("headset-1-entered"), gus.picture("headset-1-entered")]);
}

/** Points to a place and goes there: a stick forward, and let go. */
async function teleport() {
  const from = seen(await gus.state());
  const frames = async () => (await ann.state()).frame.count;
  await stick(0, -1);
  const aimed = await frames();
  await ann.until("where she points", (now) => now.frame.count > aimed + 2);
  await ann.picture("headset-2-points");
  await stick(0, 0);
  const { me } = await ann.until("herself elsewhere", (now) => distance(now.me, from) > 1);
  await gus.until("Ann there", (now) => distance(seen(now), me) < NEAR_M);
  return distance(me, from);
}

async function wave() {
  await atHand(RAISED);
  const { tracked } = seen(await gus.until("her hand raised", (now) => seen(now).tracked.right.position[1] > RAISED_M));
  ensure(tracked.head.position[1] > 1.4, tracked);
  await gus.picture("headset-3-waves");
  await atHand(LOWERED);
  await gus.until("her hand lowered", (now) => seen(now).tracked.right.position[1] < RAISED_M);
}

/** Calls the panel by a button, reads on it what Gus says, and works it by ray and trigger. */
async function panel() {
  await atHand(LOWERED);
  await press("a-button", 1);
  await frames();
  await press("a-button", 0);
  await gus.say("you look well, up there");
  await ann.hears("you look well, up there");
  await hold("controllers", "right", { x: 0.2, y: 1.25, z: -0.3 }, await onPanel("wave"));
  await frames();
  await ann.picture("headset-4-panel");
  await press("trigger", 1);
  await gus.until("Ann waving, by the panel", (now) => seen(now).emote === "wave");
  await press("trigger", 0);
}

/** The controllers are put down: bare hands are seen, go somewhere, and call and work the panel. */
async function hands() {
  await ann.page.evaluate(() => {
    window.headset.primaryInputMode = "hand";
  });
  await hold("hands", "left", { x: -0.25, y: 1.0, z: -0.3 });
  await hold("hands", "right", RAISED);
  await gus.until("her bare hand raised", (now) => seen(now).tracked?.right?.position[1] > RAISED_M);
  const ahead = { x: 0.15, y: 1.35, z: -0.4 };
  await hold("hands", "left", { x: -0.15, y: 1.4, z: -0.45 });
  await hold("hands", "right", ahead, await onPanel("done"));
  await frames();
  await pinch("right", 1);
  await frames();
  await pinch("right", 0);
  // Before her are stairs, behind her it is level.
  await hold("hands", "right", ahead, { x: 0.1, y: 0.9, z: 0.6 });
  await frames();
  await pinch("right", 1);
  const from = (await ann.state()).me;
  await frames();
  await Promise.all([ann.picture("headset-5-hands"), gus.picture("headset-5-hands")]);
  await pinch("right", 0);
  const { me } = await ann.until("herself elsewhere", (now) => distance(now.me, from) > 1);
  await gus.until("Ann there", (now) => distance(seen(now), me) < NEAR_M);

  await pinch("left", 1);
  await frames();
  await pinch("left", 0);
  await hold("hands", "right", ahead, await onPanel("dance"));
  await frames();
  await ann.picture("headset-6-hands-panel");
  await pinch("right", 1);
  await gus.until("Ann dancing, by the panel", (now) => seen(now).emote === "dance");
  await pinch("right", 0);
  await ann.page.evaluate(() => {
    window.headset.primaryInputMode = "controller";
  });
  await gus.until("her controller again", (now) => seen(now).tracked?.right);
}

/** Leaves by the panel, which still hangs where it was called. */
async function leave() {
  await hold("controllers", "right", { x: 0.2, y: 1.25, z: -0.3 }, await onPanel("exit"));
  await frames();
  await press("trigger", 1);
  await gus.until("Ann without a headset", (now) => !seen(now).tracked);
  await ann.walking();
  await ann.picture("headset-7-left");
}

await story({ arrive, enter, teleport, wave, panel, hands, leave });
