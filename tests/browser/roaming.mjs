// Ada lives on one node and walks into worlds of another: from her home's page, and from a link of theirs.
import { atHome, story } from "./lib.mjs";

let ada = null;

const walkIn = () => ada.page.getByRole("button", { name: "Walk in", exact: true });

/** Signs in at her home. */
async function home(asked) {
  const { person, did } = await atHome("Ada", asked);
  ada = person;
  return { did };
}

/** Is in a world; which node that is on stands beside its name. */
async function isThere(picture) {
  const { node, me, world } = await ada.walking();
  await ada.until("a body of hers", (now) => now.me.slot >= 0 && !now.me.isFallback);
  const at = await (await ada.sees(".here-node")).innerText();
  await ada.picture(picture);
  return { node, at, page: ada.page.url(), slot: me.slot, world: world.name, room: world.room_id, scene: world.scene.url };
}

/** Opens a world of another node on the page of her home, which says where it is before she goes. */
async function enter({ url }) {
  await ada.page.goto(url);
  await walkIn().waitFor();
  const told = await (await ada.sees(".welcome-card .away")).innerText();
  await ada.picture("roaming-before");
  await ada.nothingHinders();
  await walkIn().press("Enter");
  return { told, ...(await isThere("roaming-there")) };
}

/** Opens a link of the other node, where she is nobody, and comes in by her home. */
async function from({ url, home: place }) {
  await ada.page.goto(url);
  const asks = ada.page.getByRole("button", { name: "I live on another node" });
  const known = ada.page.getByRole("button", { name: /^Walk in from / });
  await asks.or(known).first().waitFor();
  if (await known.isVisible()) {
    await ada.picture("roaming-asked-again");
    await known.press("Enter");
  } else {
    await asks.press("Enter");
    const field = ada.page.getByLabel("Where is your home?");
    await field.fill("nowhere.test:1");
    await ada.press("Go there");
    await ada.sees(".by-home .wrong");
    await field.fill(place);
    await ada.picture("roaming-asked");
    await ada.nothingHinders();
    await ada.press("Go there");
  }
  // It is the page of her home on which she says that she goes.
  await ada.page.waitForURL((now) => now.host !== new URL(url).host && now.pathname.startsWith("/w/"));
  await walkIn().press("Enter");
  return isThere("roaming-there-from");
}

async function say({ text }) {
  await ada.say(text);
  const isSent = ({ body, state }) => body === text && state === "sent";
  await ada.until("her line arrive", (now) => now.chat.some(isSent));
  await ada.picture("roaming-said");
}

async function hears({ text }) {
  await ada.hears(text);
  await ada.picture("roaming-heard");
}

/** What the list says of who is here, and whose home is elsewhere. */
async function people() {
  await ada.page.locator(".here").press("Enter");
  await ada.sees(".here-list li");
  await ada.picture("roaming-people");
  const rows = await ada.page.locator(".here-list li").evaluateAll((all) => {
    const text = (row, part) => row.querySelector(part)?.textContent ?? null;
    return all.map((row) => ({ name: text(row, ".person-name"), from: text(row, ".from"), note: text(row, ".note") }));
  });
  await ada.page.locator(".here").press("Enter");
  return { people: rows };
}

/** Goes back to the worlds of her home. */
async function leave() {
  await ada.press("Other worlds");
  await ada.sees(".worlds-head");
  return { page: ada.page.url() };
}

/** Is not let in, and is told why. */
async function refused({ url }) {
  await ada.page.goto(url);
  const card = ada.page.locator(".closed-card");
  // The page that asks the other node meanwhile looks much the same.
  await walkIn().or(card.locator(".primary")).first().waitFor();
  if (await walkIn().isVisible()) await walkIn().press("Enter");
  await card.locator(".primary").waitFor();
  await ada.picture("roaming-refused");
  await ada.nothingHinders();
  const text = await card.innerText();
  await ada.press("Try the door again");
  await ada.finds("that it is closed", () => (document.querySelector(".closed-card [role=status]")?.textContent ?? "") !== "");
  return { text };
}

await story({ home, enter, from, say, hears, people, leave, refused });
