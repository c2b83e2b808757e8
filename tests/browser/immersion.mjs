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

const atHand = (place) =>
  ann.page.evaluate(({ x, y, z }) => window.headset.controllers.right.position.set(x, y, z), place);
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

async function leave() {
  await ann.page.evaluate(() => window.headset.activeSession.end());
  await gus.until("Ann without a headset", (now) => !seen(now).tracked);
  await ann.walking();
  await ann.picture("headset-4-left");
}

await story({ arrive, enter, teleport, wave, leave });
