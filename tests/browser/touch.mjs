// Ann has a telephone and two thumbs; and nothing lies over anything else, in windows of any shape.
import { distance, ensure, Person, shortest, story } from "./lib.mjs";

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const ACROSS = { width: 844, height: 390 };
/** Windows at a desk, from the usual to the smallest that is looked after. */
const WINDOWS = [[1280, 720], [1024, 600], [800, 500], [640, 400], [480, 640]];
const IN_AIR = 3;
const STEPS_M = 1.5;
const TURN = 0.4;
/** Nothing but the world is there on a telephone. */
const LOOK = { x: 260, y: 420 };
/** What is always there lies apart; a pixel of a rounded corner does not count. */
const PARTS = [".here", ".menu .tool", ".help", ".banner", ".seat-hint", ".chat", ".chat-opener", ".actions", ".stick", ".jump"];
const CORNER_PX = 1;

let ann = null;
let wire = null;

async function arrive({ link }) {
  ann = await Person.open("Ann", PHONE);
  await ann.enterAsGuest(link);
  wire = await ann.page.context().newCDPSession(ann.page);
  await ann.picture("touch-1-arrived");
}

/** Fingers as they lie now: each where it is, by its number. */
const fingers = (type, ...points) =>
  wire.send("Input.dispatchTouchEvent", { type, touchPoints: points.map(([id, x, y]) => ({ id, x, y })) });

async function middle(selector) {
  const { x, y, width, height } = await (await ann.sees(selector)).boundingBox();
  return [x + width / 2, y + height / 2];
}

async function tap(selector) {
  const [x, y] = await middle(selector);
  await fingers("touchStart", [0, x, y]);
  await fingers("touchEnd");
}

/** One thumb walks while the other looks around. */
async function walk() {
  const { me } = await ann.state();
  const [x, y] = await middle(".stick");
  await fingers("touchStart", [0, x, y]);
  await fingers("touchMove", [0, x, y - 40]);
  const ahead = (await ann.until("some steps", (now) => distance(now.me, me) > STEPS_M)).me;
  await fingers("touchStart", [0, x, y - 40], [1, LOOK.x, LOOK.y]);
  for (let moved = 20; moved <= 160; moved += 20) await fingers("touchMove", [0, x, y - 40], [1, LOOK.x - moved, LOOK.y]);
  await ann.until("another way", (now) => Math.abs(shortest(now.me.yaw - ahead.yaw)) > TURN);
  await fingers("touchEnd");
  await ann.standsStill();
  await ann.picture("touch-2-walked");
}

async function act() {
  await tap(".jump");
  await ann.until("herself in the air", (now) => now.me.motion === IN_AIR);
  await ann.standsStill();
  await tap(".more");
  await tap('.tool[data-tool="dance"]');
  await ann.until("herself dancing", (now) => now.me.emote === "dance");
  await tap(".more");
}

/** Who types does not walk: the stick makes way, and comes back. */
async function talk({ line }) {
  await tap(".chat-opener");
  await ann.sees(".stick", "hidden");
  await ann.page.locator(".chat input").fill(line);
  await tap(".chat-form button");
  await ann.hears(line);
  await ann.picture("touch-3-talks");
  await apart("a telephone, with the chat");
  await tap(".chat-head button");
  await ann.sees(".stick");
}

async function across() {
  await apart("a telephone");
  await ann.page.setViewportSize(ACROSS);
  await ann.picture("touch-4-across");
  await apart("a telephone across");
  await tap(".chat-opener");
  await ann.sees(".chat input");
  await apart("a telephone across, with the chat");
  await ann.leave();
}

async function windows({ link }) {
  ann = await Person.open("Ann");
  await ann.enterAsGuest(link);
  for (const [width, height] of WINDOWS) {
    await ann.page.setViewportSize({ width, height });
    await apart(`a window of ${width} x ${height}`);
    await ann.picture(`window-${width}`);
  }
}

/** Fails where two parts of what lies over the world overlap, or one is not wholly to be seen. */
async function apart(where) {
  const boxes = await ann.page.evaluate((parts) => {
    const shown = parts.flatMap((part) => [...document.querySelectorAll(`.hud ${part}`)].map((element) => [part, element]));
    return shown
      .filter(([, element]) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
      .map(([part, element]) => {
        const { left, top, right, bottom } = element.getBoundingClientRect();
        return { part, left, top, right, bottom };
      })
      .filter((box) => box.right > box.left);
  }, PARTS);
  const { width, height } = ann.page.viewportSize();
  ensure(boxes.length > 3, { where, boxes });
  boxes.forEach((one, place) => {
    const inside = one.left >= 0 && one.top >= 0 && one.right <= width && one.bottom <= height;
    ensure(inside, { where, outside: one });
    for (const other of boxes.slice(place + 1)) {
      const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
      const high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
      ensure(wide <= CORNER_PX || high <= CORNER_PX, { where, one, other });
    }
  });
}

await story({ arrive, walk, act, talk, across, windows });
