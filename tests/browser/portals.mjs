// Ada sets up portals in a world of hers, and walks through them: to another world, back, and to where she is not let in.
import { atHome, ensure, shortest, story } from "./lib.mjs";

let ada = null;

/** How far before an arch she turns to it, and so far she walks on until she is through. */
const BEFORE_M = 1.6;

const list = () => ada.page.locator("dialog .portals");

/** Signs in at her home. */
async function home(asked) {
  const { person, did } = await atHome("Ada", asked);
  ada = person;
  return { did };
}

/** What is known of where she is. */
async function here() {
  const { node, world, me } = await ada.state();
  return { node, world: world.name, room: world.room_id, page: ada.page.url(), me };
}

/** Walks into a world by its address. */
async function enter({ url }) {
  await ada.page.goto(url);
  const walkIn = ada.page.getByRole("button", { name: "Walk in", exact: true });
  await walkIn.press("Enter");
  await ada.walking();
  return here();
}

async function open() {
  await ada.press("Portals");
  await list().waitFor();
}

async function close() {
  await ada.page.keyboard.press("Escape");
  await list().waitFor({ state: "detached" });
}

/** What the list says of each portal. */
async function listed() {
  const cards = list().locator(".portal-card");
  await cards.first().waitFor();
  return cards.evaluateAll((all) => {
    const text = (card, part) => card.querySelector(part)?.innerText ?? null;
    return all.map((card) => ({
      name: text(card, "h3"),
      where: text(card, ".portal-where"),
      people: text(card, ".world-people"),
      chips: [...card.querySelectorAll(".chip")].map((chip) => chip.innerText),
      trouble: text(card, ".wrong"),
      picture: card.querySelector(".picture img") !== null,
    }));
  });
}

/** Sets a portal up by the list: in an arch, before herself (`place` is "here"), or in the list alone. */
async function add({ to, name = null, arch = null, place = "arch" }) {
  await open();
  await ada.press("Add a portal here", list());
  const address = list().getByLabel("Where does it lead?");
  await address.fill(to);
  // What is found there is shown before anything is set up; where nothing is, why.
  await list().locator(".portal-check :is(.portal-found, .hint, .wrong)").first().waitFor();
  await list().locator(".portal-check").getByText("Looking where it leads").waitFor({ state: "detached" });
  const check = await list().locator(".portal-check").innerText();
  if (name !== null) await list().getByLabel("What is it called here?").fill(name);
  const choices = { arch: "In an arch of this world", here: "Right before me", list: "Only in this list" };
  await list().getByRole("radio", { name: choices[place], exact: true }).check();
  if (arch !== null) await list().getByLabel("Which arch").selectOption(arch);
  await ada.picture("portals-add");
  await ada.nothingHinders();
  await ada.press("Set it up", list());
  await list().locator(".portal-list").waitFor();
  await ada.picture("portals-list");
  await ada.nothingHinders();
  const portals = await listed();
  await close();
  return { check, portals };
}

/** What the list says now. */
async function portals() {
  await open();
  const all = await listed();
  await ada.picture("portals-listed");
  await close();
  return { portals: all };
}

/** Stands before an arch, and faces it. */
async function approach(name) {
  const { arches, me } = await ada.state();
  const arch = arches.find((one) => one.name === name);
  ensure(arch, `the scene has no ${name}`);
  const out = { x: Math.sin(arch.yaw), z: Math.cos(arch.yaw) };
  // From the side on which she is: the way to the other leads through.
  const side = Math.sign((me.x - arch.x) * out.x + (me.z - arch.z) * out.z) || 1;
  const before = { x: arch.x + out.x * BEFORE_M * side, z: arch.z + out.z * BEFORE_M * side };
  // Whoever walks on before they have turned might walk into it.
  await face(before);
  await ada.walkTo(before, 0.6);
  await face(arch);
}

async function face({ x, z }) {
  const { me } = await ada.state();
  await ada.turn(shortest(Math.atan2(x - me.x, z - me.z) - me.yaw));
}

/** Says that she goes, where the page asks because another node learns who she is. */
async function agrees(asks) {
  if (!asks) return null;
  const lead = await ada.sees("dialog .away");
  const told = await lead.innerText();
  await ada.picture("portals-asked");
  await ada.nothingHinders();
  await ada.press("Walk in", ada.page.locator("dialog"));
  return told;
}

/** Is in another world, which it was before she left this one. */
async function arrived(room) {
  await ada.until("another world", (now) => now.world !== null && now.world.room_id !== room);
  await ada.walking();
}

/** Walks through an arch into another world (`asks` where that is on a node that is new to her), and goes Back. */
async function walk({ arch = "portal_5", asks = false, back = true }) {
  const from = await here();
  await approach(arch);
  await ada.picture("portals-before");
  await ada.page.keyboard.down("w");
  let told = null;
  try {
    if (asks) await ada.sees("dialog .away");
    else await ada.until("the way", (now) => now.world.room_id !== from.room || now.phase !== "walking");
  } finally {
    await ada.page.keyboard.up("w");
  }
  told = await agrees(asks);
  await arrived(from.room);
  const there = await here();
  await ada.picture("portals-through");
  if (!back) return { told, from, there };
  await ada.page.goBack();
  await arrived(there.room);
  return { told, from, there, back: await here() };
}

/** Goes by the list's own button. */
async function go({ name, asks = false }) {
  const from = await here();
  await open();
  await list().getByRole("button", { name: `Go to ${name}`, exact: true }).press("Enter");
  const told = await agrees(asks);
  await arrived(from.room);
  return { told, from, there: await here() };
}

/** Goes back by the browser's button. */
async function back() {
  const { room } = await here();
  await ada.page.goBack();
  await arrived(room);
  return here();
}

/**
 * Walks into an arch, goes by the list (`name`) or goes back (`back`), and is not let in: she stays, is told why, and
 * the address is right.
 */
async function refused({ arch = "portal_5", name = null, back: isBack = false, asks = false }) {
  const from = await here();
  if (isBack) {
    await ada.page.goBack();
  } else if (name !== null) {
    await open();
    await list().getByRole("button", { name: `Go to ${name}`, exact: true }).press("Enter");
    await agrees(asks);
  } else {
    await approach(arch);
    await ada.page.keyboard.down("w");
    const notice = ada.page.locator(asks ? "dialog .away" : ".notice.bad");
    await notice.first().waitFor().finally(() => ada.page.keyboard.up("w"));
    await agrees(asks);
  }
  const text = await (await ada.sees(".notice.bad")).innerText();
  await ada.picture("portals-refused");
  await ada.standsStill();
  await ada.finds("the address of before", (page) => location.href === page, from.page);
  const stays = await here();
  ensure(stays.room === from.room, stays);
  return { text, ...stays };
}

/** Removes a portal by the list, once she has said that she means it. */
async function remove({ name }) {
  await open();
  await ada.press(`Remove the portal to ${name}`, list());
  await ada.picture("portals-remove");
  await list().locator(".danger").press("Enter");
  await list().locator(".danger").waitFor({ state: "detached" });
  await list().getByRole("heading", { name, exact: true }).waitFor({ state: "detached" });
  await close();
}

async function say({ text }) {
  await ada.say(text);
  const isSent = ({ body, state }) => body === text && state === "sent";
  await ada.until("her line arrive", (now) => now.chat.some(isSent));
}

async function hears({ text }) {
  await ada.hears(text);
  await ada.picture("portals-heard");
}

/** Is seen in a body of her own. */
async function wears({ hash }) {
  await ada.until("her own body", ({ me }) => me.avatar?.includes(hash) && !me.isFallback);
  await ada.picture("portals-worn");
}

await story({ home, enter, add, portals, walk, go, back, refused, remove, say, hears, wears });
