// Ann has a gamepad, as its standard mapping has it, and touches nothing else.
import { distance, ensure, Person, shortest, story } from "./lib.mjs";

const PAD = `
window.pad = {
  id: "The gamepad of a story", index: 0, connected: true, mapping: "standard", timestamp: 0,
  axes: [0, 0, 0, 0],
  buttons: Array.from({ length: 17 }, () => ({ pressed: false, touched: false, value: 0 })),
};
navigator.getGamepads = () => [null, window.pad, null, null];
`;
/** Buttons by what the standard mapping says of their places. */
const BUTTON = { bottom: 0, left: 2, top: 3, leftStick: 10, up: 12, down: 13, right: 15 };
const RUNS = 2;
const IN_AIR = 3;
const BEFORE_SEAT_M = 1.1;
const LONGEST_WAY = 60;
/** A stick that rests lies within this, and does nothing. */
const RESTING = 0.1;

let ann = null;
/** Which way the view looks: known as soon as Ann has walked straight on. */
let view = 0;

async function arrive({ link }) {
  ann = await Person.open("Ann");
  await ann.page.addInitScript({ content: PAD });
  await ann.enterAsGuest(link);
}

const tilt = (first, x, y) =>
  ann.page.evaluate(([at, ...axes]) => window.pad.axes.splice(at, 2, ...axes), [first, x, y]);
const left = (x, y) => tilt(0, x, y);
const right = (x, y) => tilt(2, x, y);
const button = (which, pressed) =>
  ann.page.evaluate(([at, now]) => Object.assign(window.pad.buttons[at], { pressed: now }), [which, pressed]);

async function press(which, what, holds) {
  await button(which, true);
  try {
    return await ann.until(what, holds);
  } finally {
    await button(which, false);
  }
}

const frames = async (count) => {
  const from = (await ann.state()).frame.count;
  await ann.until("some frames", (now) => now.frame.count >= from + count);
};

async function walk() {
  const { me } = await ann.state();
  await left(RESTING, -RESTING);
  await frames(5);
  ensure(distance((await ann.state()).me, me) < 0.01, "a resting stick moved Ann");
  await left(0, -1);
  await ann.until("some steps", (now) => distance(now.me, me) > 1.5);
  view = (await ann.state()).me.yaw;
  await press(BUTTON.leftStick, "herself running", (now) => now.me.motion === RUNS);
  await left(0, 0);
  await ann.standsStill();
}

/** The right stick turns the view, and where it looks is straight on. */
async function look() {
  // Gently: a machine that draws few pictures a second turns far in each of them.
  await right(-0.4, 0);
  await frames(8);
  await right(0, 0);
  const from = (await ann.state()).me;
  await left(0, -1);
  await ann.until("a step that way", (now) => distance(now.me, from) > 0.8);
  await left(0, 0);
  await ann.standsStill();
  const turned = shortest((await ann.state()).me.yaw - view);
  ensure(turned > 0.05, `the view turned by ${turned} to the left`);
  view += turned;
  return turned;
}

async function jump() {
  const { me } = await ann.state();
  await press(BUTTON.bottom, "herself in the air", (now) => now.me.motion === IN_AIR && now.me.y > me.y + 0.1);
  await ann.standsStill();
}

/** Walks to a seat by the left stick alone, whichever way that is, sits down, and gets up by walking. */
async function sit() {
  const { me, seats } = await ann.state();
  const level = seats.filter((seat) => Math.abs(seat.y - me.y) < 1);
  const [seat] = level.sort((a, b) => distance(a, me) - distance(b, me));
  for (let course = 0; ; course += 1) {
    const now = (await ann.state()).me;
    if (distance(now, seat) < BEFORE_SEAT_M) break;
    ensure(course < LONGEST_WAY, "Ann does not find the way to a seat");
    const aside = view - Math.atan2(seat.x - now.x, seat.z - now.z);
    await left(Math.sin(aside), -Math.cos(aside));
    const gone = ({ me: then }) => distance(then, now) > 0.6 || distance(then, seat) < BEFORE_SEAT_M;
    await ann.until("a way to a seat", gone);
  }
  await left(0, 0);
  await ann.standsStill();
  await press(BUTTON.left, "herself seated", (now) => now.me.seat !== null);
  await ann.picture("gamepad-seated");
  await left(0, 1);
  await ann.until("herself up again", (now) => now.me.seat === null);
  await left(0, 0);
  await ann.standsStill();
}

async function emote() {
  for (const [which, name] of [[BUTTON.up, "wave"], [BUTTON.right, "point"], [BUTTON.down, "dance"]]) {
    // A gesture ends by itself, and the node lets nobody make the next one at once.
    await ann.until("herself without a gesture", (now) => now.me.emote === null);
    await press(which, `herself: ${name}`, (now) => now.me.emote === name);
  }
  await ann.picture("gamepad-dances");
}

/** What is under the settings does not move. */
async function rest() {
  await ann.press("Settings");
  const { me } = await ann.state();
  await left(0, -1);
  await frames(5);
  ensure(distance((await ann.state()).me, me) < 0.01, "Ann walks behind a dialog");
  await left(0, 0);
}

await story({ arrive, walk, look, jump, sit, emote, rest });
