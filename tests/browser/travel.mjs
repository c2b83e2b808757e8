// How soon somebody stands in a world of another node, and whether they arrive each time that they walk there.
import { atHome, story } from "./lib.mjs";

let ada = null;

/** Notes when something was pressed, and when the first snapshot came after that. */
function watch() {
  const SNAPSHOT = 0x42;
  window.travelled = { pressedMs: 0, seenMs: 0 };
  const { travelled } = window;
  const pressed = () => Object.assign(travelled, { pressedMs: performance.now(), seenMs: 0 });
  window.addEventListener("click", pressed, { capture: true });
  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(...asked) {
      super(...asked);
      this.addEventListener("message", ({ data }) => {
        if (travelled.seenMs > 0 || !(data instanceof ArrayBuffer)) return;
        if (new Uint8Array(data)[0] === SNAPSHOT) travelled.seenMs = performance.now();
      });
    }
  };
}

/** Signs in at her home. */
async function home(asked) {
  const { person, did } = await atHome("Ada", asked);
  ada = person;
  await ada.page.context().addInitScript(watch);
  return { did };
}

const took = () => ada.page.evaluate(() => window.travelled.seenMs - window.travelled.pressedMs);

/** Walks into a world by its address. */
async function visit({ url }) {
  await ada.page.goto(url);
  const walkIn = ada.page.getByRole("button", { name: "Walk in", exact: true });
  await walkIn.waitFor();
  // What the page fetches ahead is there.
  await ada.page.waitForLoadState("networkidle");
  await walkIn.press("Enter");
  await ada.finds("a first snapshot", () => window.travelled.seenMs > 0);
  const ms = await took();
  await ada.walking();
  return { ms };
}

/** Goes through the only portal of where she is, from which nobody has to be asked any more. */
async function walk() {
  const { world } = await ada.state();
  await ada.press("Portals");
  const go = ada.page.locator("dialog .portals").getByRole("button", { name: /^Go to / });
  await go.press("Enter");
  await ada.until("another world", (now) => now.world !== null && now.world.room_id !== world.room_id);
  await ada.finds("a first snapshot", () => window.travelled.seenMs > 0);
  const ms = await took();
  await ada.walking();
  return { ms };
}

await story({ home, visit, walk });
