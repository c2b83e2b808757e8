// How soon somebody has taken a step in a world, what the page weighs, and what bodies cost it.
import { Person, story } from "./lib.mjs";

/** Frames of which a mean is taken. */
const FRAMES = 60;
const PATIENCE_MS = 240_000;

/** A new browser profile each time: nothing is in any cache. */
async function firstStep({ link, number }) {
  const person = await Person.open(`First ${number}`);
  const { page } = person;
  const wire = await page.context().newCDPSession(page);
  await wire.send("Network.enable");
  let scenes = 0;
  let bytes = 0;
  const worlds = new Set();
  wire.on("Network.requestWillBeSent", ({ requestId, request }) => {
    if (request.url.includes("/_wayside/v1/assets/")) worlds.add(requestId);
  });
  wire.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    if (worlds.has(requestId)) scenes += encodedDataLength;
    else if (scenes === 0) bytes += encodedDataLength;
  });
  await page.goto(link);
  await page.getByLabel("Your name").fill("First");
  await page.keyboard.down("w");
  await person.press("Walk in");
  // The key is pressed again until there is a body to move: who holds it down before has not begun.
  await page.waitForFunction(() => window.wayside.state().phase === "walking", null, { timeout: PATIENCE_MS });
  await page.keyboard.up("w");
  await page.keyboard.down("w");
  await page.waitForFunction(() => performance.getEntriesByName("wayside:first-step").length > 0, null, {
    timeout: PATIENCE_MS,
  });
  await page.keyboard.up("w");
  const ms = await page.evaluate(() => {
    const at = (name) => performance.getEntriesByName(name)[0].startTime;
    return at("wayside:first-step") - at("wayside:click");
  });
  await person.leave();
  return { ms, bytes };
}

let watcher = null;
let wire = null;

/** Somebody who stands and looks, to whom others come. */
async function watch({ link }) {
  watcher = await Person.open("Watcher");
  wire = await watcher.page.context().newCDPSession(watcher.page);
  // Of the CPU, not of the clock: the same processor draws the pictures.
  await wire.send("Performance.enable", { timeDomain: "threadTicks" });
  await watcher.enterAsGuest(link);
  return frames();
}

/** The seconds that scripts of the page's main thread have run for. */
async function scripts() {
  const { metrics } = await wire.send("Performance.getMetrics");
  return metrics.find(({ name }) => name === "ScriptDuration").value;
}

/** The mean of frames, when those before have warmed up: of their scripts, and from one to the next. */
async function frames() {
  const after = async ({ count }) => (await watcher.until("frames", ({ frame }) => frame.count > count + FRAMES, PATIENCE_MS)).frame;
  const first = await after((await watcher.state()).frame);
  const [begun, beganMs] = [await scripts(), performance.now()];
  const last = await after(first);
  const count = last.count - first.count;
  return {
    scriptMs: ((await scripts()) - begun) * 1000 / count,
    frameMs: (performance.now() - beganMs) / count,
  };
}

async function crowd({ bodies }) {
  await watcher.until("a crowd", (now) => now.bodies.filter((body) => body.avatar !== null).length >= bodies, PATIENCE_MS);
  return frames();
}

await story({ firstStep, watch, crowd });
