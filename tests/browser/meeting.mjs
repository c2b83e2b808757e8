// Ann, who lives on the node, and Gus, who came by a link, meet in a world.
import { distance, ensure, Person, story } from "./lib.mjs";

const NEAR_M = 0.1;
const STEPS_M = 2.5;
/** Of a seat that somebody walks to; from there they may sit down. */
const BEFORE_SEAT_M = 1.3;
const EMOTE_TRIES = 4;
const EMOTE_MS = 8_000;

let ann = null;
let gus = null;
const both = (deed) => Promise.all([deed(ann, gus), deed(gus, ann)]);

/** How one of them is seen on the page of the other. */
const seen = (now, slot) => now.bodies.find((body) => body.slot === slot);

async function arrive({ world, link, user, password }) {
  ann = await Person.open("Ann");
  await ann.enterAsMember(world, user, password);
  gus = await Person.open("Gus");
  await gus.enterAsGuest(link);
  await both((one, other) =>
    one.until("a body for everybody", (now) => {
      const [body] = now.bodies;
      return now.bodies.length === 1 && body.avatar !== null && !body.isFallback;
    }),
  );
  const ids = [(await gus.state()).bodies[0], (await ann.state()).bodies[0]];
  ensure(ids[0].userId.startsWith(`@${user}:`) && ids[1].name === "Gus" && ids[1].guest, ids);
  await both((one) => one.picture("1-arrived"));
}

/** Ann walks to a seat, Gus a few steps ahead; both stand where the other sees them. */
async function walk() {
  const { me, seats } = await ann.state();
  const level = seats.filter((seat) => Math.abs(seat.y - me.y) < 1);
  const [seat] = level.sort((a, b) => distance(a, me) - distance(b, me));
  const from = (await gus.state()).me;
  const ahead = (now) => distance(now.me, from) > STEPS_M;
  await Promise.all([ann.walkTo(seat, BEFORE_SEAT_M), gus.hold("w", "some steps", ahead)]);
  await both((one) => one.standsStill());
  return both(async (one, other) => {
    const at = (await other.state()).me;
    const there = (now) => {
      const body = seen(now, at.slot);
      return body && Math.hypot(body.x - at.x, body.y - at.y, body.z - at.z) < NEAR_M;
    };
    await one.until("where the other stands", there);
    await one.picture("2-walked");
    return at;
  });
}

async function sit() {
  await ann.page.keyboard.press("e");
  const { me } = await ann.until("herself seated", (now) => now.me.seat !== null);
  await gus.until("Ann on her seat", (now) => seen(now, me.slot)?.seat === me.seat);
  await both((one) => one.picture("3-seated"));
}

async function wave() {
  const { slot } = (await gus.state()).me;
  // A gesture lasts two seconds: a page that draws no picture for so long has not seen it.
  for (let tries = 1; ; tries += 1) {
    await gus.page.keyboard.press("1");
    try {
      await ann.until("Gus waving", (now) => seen(now, slot)?.emote === "wave", EMOTE_MS);
      break;
    } catch (error) {
      if (tries === EMOTE_TRIES) throw error;
    }
  }
  await both((one) => one.picture("4-waved"));
}

async function talk({ lines }) {
  await ann.say(lines.ann);
  await gus.say(lines.gus);
  await both(async (one) => {
    for (const line of Object.values(lines)) await one.hears(line);
  });
}

async function hear({ line }) {
  await both((one) => one.hears(line));
  await both((one) => one.picture("5-talked"));
}

/** Gus becomes a member, and goes on standing where he stands. */
async function stay({ password }) {
  const before = await gus.state();
  const { page } = gus;
  await page.locator(".here").press("Enter");
  await gus.press("Keep my account");
  await page.getByLabel("Choose a password").fill(password);
  await gus.press("Keep my account", page.locator("dialog"));
  await gus.sees("text=You are a member now");
  const after = await gus.state();
  ensure(after.phase === "walking" && after.me.slot === before.me.slot, after);
  const { userId } = seen(await ann.state(), after.me.slot);
  const kept = await page.evaluate(() => JSON.parse(localStorage.getItem("wayside.session")));
  ensure(kept.user_id === userId && kept.guest === false, { userId, kept: kept.user_id });
  await page.locator(".here").press("Enter");
  await gus.picture("6-stays");
  return userId;
}

async function member({ userId }) {
  const isMember = (now) => now.bodies.some((body) => body.userId === userId && !body.guest);
  await ann.until("that Gus is no guest any more", isMember);
}

async function lost() {
  await both((one) => one.sees(".banner"));
  await ann.picture("7-lost");
}

async function back() {
  await both((one) => one.sees(".banner", "hidden"));
  await both((one) => one.until("the other again", (now) => now.phase === "walking" && now.bodies.length === 1));
}

/** After all that, a step of Gus is still seen. */
async function again() {
  const from = (await gus.state()).me;
  await gus.hold("s", "a step back", (now) => distance(now.me, from) > 1);
  await gus.standsStill();
  const { me } = await gus.state();
  await ann.until("Gus walk again", (now) => now.bodies.some((body) => distance(body, me) < NEAR_M));
  await both((one) => one.picture("8-again"));
}

await story({ arrive, walk, sit, wave, talk, hear, stay, member, lost, back, again });
