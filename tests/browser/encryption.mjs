// Ann and Bob, who live on the node, write to each other so that it cannot read along; Gus is a guest.
import { ensure, Person, story } from "./lib.mjs";

/** The library that encrypts is fetched, opened, and has made its keys. */
const OPENED_MS = 60_000;

let ann = null;
let bob = null;
/** Ann once more, on another device. */
let second = null;
let recoveryKey = "";

/** What of the client a page has fetched that has to do with encryption. */
const sealedFiles = (person) =>
  person.page.evaluate(() => {
    const names = performance.getEntriesByType("resource").map(({ name }) => name);
    return names.filter((name) => /\.wasm|\/web\/(worker|messages|members\.)/.test(name));
  });

/** Names of the databases that hold keys. */
const stores = (person) =>
  person.page.evaluate(async () => (await indexedDB.databases()).map(({ name }) => name).filter((name) => /crypto/.test(name)));

const dialog = (person) => person.page.locator("dialog");

function reads(person, line) {
  // A mark may follow the words.
  const look = (text) => [...document.querySelectorAll(".thread .said")].some((said) => said.firstChild.textContent === text);
  return person.finds(`the line ${line}`, look, line);
}

async function say(person, line) {
  await person.page.locator(".thread input").fill(line);
  await person.page.keyboard.press("Enter");
}

/** Opens the conversations over a world, or beside the list of worlds. */
async function messages(person) {
  const place = await person.sees(".chat-tab:last-child, .worlds-messages");
  await place.press("Enter");
  await person.sees(".messages-list");
}

/** From one conversation back to all. */
async function back(person) {
  await person.press("All conversations");
  await person.sees(".messages-list");
}

async function conversation(person) {
  const row = await person.sees(".messages-list [data-room] > .conversation");
  await row.press("Enter");
  await person.sees(".thread");
}

/** Waits until the device works, and says by a card what it would have of its person. */
function opened(person, card) {
  const shown = (name) => document.querySelector(`.note-card.${name}`) !== null;
  return person.finds(`the card ${card}`, shown, card, OPENED_MS);
}

function shield(person, state) {
  return person.sees(`.thread-head .shield.${state}`);
}

/** A guest walks in, and nothing of all this is fetched for them. */
async function guest({ link }) {
  const gus = await Person.open("Gus");
  await gus.enterAsGuest(link);
  await gus.say("in the open");
  await gus.hears("in the open");
  const fetched = await sealedFiles(gus);
  ensure(fetched.length === 0 && (await gus.page.locator(".chat-tabs").count()) === 0, { fetched });
  await gus.leave();
}

/** Ann comes into the world, Bob to the list of worlds: both become devices by themselves. */
async function arrive({ home, link, users, password }) {
  ann = await Person.open("Ann");
  bob = await Person.open("Bob");
  await Promise.all([ann.enterAsMember(link, users.ann, password), bob.signIn(home, users.bob, password)]);
  await messages(ann);
  for (const person of [ann, bob]) {
    await opened(person, "recovery");
    const [file] = (await sealedFiles(person)).filter((name) => name.endsWith(".wasm"));
    // A worker's own requests are not told of to its page.
    ensure(file === undefined || new URL(file).pathname.startsWith("/web/"), { file });
  }
  await ann.picture("encryption-1-messages");
}

/** The recovery key is shown once, and counts when Ann says that she has it. */
async function save() {
  await ann.press("Save it now");
  recoveryKey = await (await ann.sees("dialog textarea")).inputValue();
  ensure(/^(\w{4} ){11}\w{4}$/.test(recoveryKey), { letters: recoveryKey.length });
  await ann.picture("encryption-2-key");
  await ann.press("I have saved it");
  await ann.sees("dialog", "detached");
  await ann.sees(".note-card.recovery", "detached");
}

/** Ann begins, Bob accepts, and both read what the other writes. */
async function write({ users, lines }) {
  await ann.press("New message");
  await ann.page.getByLabel("Address").fill(users.bob);
  await ann.press("Write");
  await ann.sees(".thread");
  await say(ann, lines.ann);
  await messages(bob);
  await bob.sees(".invitation");
  await bob.press("Accept");
  await bob.sees(".thread");
  await reads(bob, lines.ann);
  await say(bob, lines.bob);
  await reads(ann, lines.bob);
  await shield(ann, "encrypted");
  await shield(bob, "encrypted");
  await ann.picture("encryption-3-talk");
  return ann.page.locator(".messages-list [data-room]").first().getAttribute("data-room");
}

/** Both compare emoji: the same ones are shown to both, and the shields change. */
async function verify() {
  await (await shield(ann, "encrypted")).press("Enter");
  await dialog(ann).getByRole("button", { name: /^Verify / }).press("Enter");
  await ann.sees(".flow");
  await back(bob);
  await bob.sees("dialog .note-card.asks");
  await bob.press("Compare", dialog(bob));
  const emoji = [];
  for (const person of [ann, bob]) emoji.push(await (await person.sees(".emoji-row")).innerText());
  ensure(emoji[0] !== "" && emoji[0] === emoji[1], { emoji });
  await ann.picture("encryption-4-emoji");
  for (const person of [ann, bob]) await person.press("They are the same");
  for (const person of [ann, bob]) {
    await person.sees(".flow-sign.verified");
    await person.press("Close");
  }
  await shield(ann, "verified");
  await conversation(bob);
  await shield(bob, "verified");
  await ann.picture("encryption-5-verified");
}

/** Ann signs in once more: her first device is told, and the recovery key makes the new one read all. */
async function restore({ home, users, password, lines }) {
  second = await Person.open("Ann2");
  await second.signIn(home, users.ann, password);
  await opened(second, "unverified");
  await back(ann);
  await ann.sees(".note-card.sign-in");
  await ann.picture("encryption-6-sign-in");
  await messages(second);
  await conversation(second);
  await second.sees(".said.unreadable");
  await second.picture("encryption-7-unreadable");
  await back(second);
  await second.press("Use the recovery key", dialog(second));
  const key = second.page.getByRole("textbox", { name: "Recovery key" });
  await key.fill(recoveryKey.slice(0, -1));
  await second.press("Confirm this sign-in");
  await second.sees("dialog .wrong");
  await key.fill(recoveryKey);
  await second.press("Confirm this sign-in");
  await second.sees(".note-card.unverified", "detached");
  await conversation(second);
  for (const line of Object.values(lines)) await reads(second, line);
  await shield(second, "verified");
  await ann.sees(".note-card.sign-in", "detached");
  await second.picture("encryption-8-restored");
}

/** Ann signs her second device out from the first; what Bob writes then still comes to her. */
async function remove({ password, line }) {
  await ann.press("Keys and devices");
  // The story itself is signed in too, without keys.
  const row = dialog(ann).locator("li").filter({ hasText: /Verified · last/ });
  await row.getByRole("button", { name: /^Sign out / }).press("Enter");
  await dialog(ann).getByLabel("Your password").fill(password);
  await ann.press("Sign out", dialog(ann));
  await ann.sees("dialog", "detached");
  await second.sees(".welcome-card");
  await second.finds("that no key is left", async () => {
    const names = (await indexedDB.databases()).map(({ name }) => name);
    return names.every((name) => !/crypto/.test(name));
  });
  await second.leave();
  await say(bob, line);
  await conversation(ann);
  await reads(ann, line);
  await shield(ann, "verified");
}

/** Bob goes, and his keys with him. */
async function leave() {
  ensure((await stores(bob)).length > 0, "Bob had no store");
  await back(bob);
  await bob.page.keyboard.press("Escape");
  await bob.sees("dialog", "detached");
  await bob.press("Sign out");
  await bob.sees(".welcome-card");
  await bob.finds("that no key is left", async () => {
    const names = (await indexedDB.databases()).map(({ name }) => name);
    return names.every((name) => !/crypto/.test(name));
  });
}

await story({ guest, arrive, save, write, verify, restore, remove, leave });
