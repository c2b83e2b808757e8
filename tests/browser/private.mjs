// Ann keeps a private world to those whom she invites: Bob comes in, and Eve stands before a closed door.
import { ensure, Person, story } from "./lib.mjs";
import { island } from "./island.mjs";

const GLB = "model/gltf-binary";

let ann = null;
let bob = null;

const dialog = (person) => person.page.locator("dialog");

/** Opens what there is to know about the world around. */
async function about(person) {
  await person.page.locator(".here").press("Enter");
  await person.press("About this world");
  await person.sees("dialog .shield-title");
}

async function close(person) {
  await person.page.keyboard.press("Escape");
  await person.sees("dialog", "detached");
}

/** Both hear what each of them says. */
async function talk(...lines) {
  for (const [speaker, line] of lines) {
    await speaker.say(line);
    for (const person of [ann, bob]) await person.hears(line);
    await speaker.until(`${line} arrive`, ({ chat }) => chat.some(({ body, state }) => body === line && state === "sent"));
  }
}

/** Ann chooses who may come in; that a chat can be encrypted is said where it can. */
async function make({ home, password }) {
  ann = await Person.open("Ann");
  await ann.signIn(home, "ann", password);
  await ann.press("Make a world");
  await ann.sees(".easel");
  await ann.page.locator(".easel input[type=file]").setInputFiles({ name: "den.glb", mimeType: GLB, buffer: island() });
  await ann.sees(".create-under img");
  const encrypt = ann.page.getByRole("checkbox", { name: "Encrypt the chat" });
  ensure((await encrypt.count()) === 0, "a world for everybody is offered encryption");
  await ann.page.getByRole("radio", { name: "Only those who are invited" }).press("Space");
  ensure(await encrypt.isChecked(), "encryption is not offered");
  await ann.picture("private-1-make");
  await ann.press("Make this world");
  const { world } = await ann.walking();
  ensure(!world.public && world.encrypted, world);
  // On a new page, said before the device is ready: it waits, and goes encrypted.
  await ann.page.goto(ann.page.url());
  await ann.press("Walk in");
  await ann.walking();
  await ann.say("before");
  await ann.hears("before");
  await ann.until("it arrive", ({ chat }) => chat[0].state === "sent", 60_000);
  await ann.sees(".chat-head .shield.encrypted");
  await ann.picture("private-2-inside");
  return world.room_id;
}

/** Eve has the link alone: she reads what she can do, and the list shows her nothing of it. */
async function refuse({ link, room, password }) {
  const eve = await Person.open("Eve");
  await eve.signIn(link, "eve", password);
  const card = await (await eve.sees(".closed-card")).innerText();
  ensure(card.includes("you have not been invited") && card.includes("@eve:"), card);
  await eve.press("Try the door again");
  await eve.finds("that it is closed", () => document.querySelector(".closed-card [role=status]").textContent !== "");
  await eve.picture("private-3-closed");
  await eve.press("Other worlds");
  await eve.sees("[data-world]");
  ensure((await eve.page.locator(`[data-world="${room}"]`).count()) === 0, "the world is listed for Eve");
  await eve.leave();
}

/** Ann invites by name; a name that nobody has is said to be one. Bob's list shows it without a reload. */
async function invite({ home, room, password }) {
  bob = await Person.open("Bob");
  await bob.signIn(home, "bob", password);
  await bob.sees(".worlds-messages");
  await bob.finds("his device", () => document.querySelector(".note-card") !== null, null, 60_000);
  ensure((await bob.page.locator(`[data-world="${room}"]`).count()) === 0, "the world is listed for Bob already");
  await ann.press("Invite");
  const address = ann.page.getByLabel("Whom would you like to see here?");
  await address.fill("nobody");
  await ann.press("Invite", dialog(ann));
  ensure((await (await ann.sees("dialog .wrong")).innerText()).startsWith("There is nobody"));
  await address.fill("bob");
  await ann.press("Invite", dialog(ann));
  await ann.sees("dialog .rows li");
  await ann.picture("private-4-invite");
  await close(ann);
  await bob.sees(`[data-world="${room}"] .chip.new`);
  await bob.picture("private-5-listed");
}

async function enter({ room }) {
  await bob.page.locator(`[data-world="${room}"]`).press("Enter");
  await bob.walking();
  await bob.sees(".chat-head .shield.encrypted");
  await talk([ann, "for us two"], [bob, "and back"]);
  await bob.picture("private-6-talk");
}

/** Bob goes for good. What is said then he cannot read, also when he has been invited anew. */
async function leave({ room, link }) {
  await about(bob);
  await bob.picture("private-7-about");
  bob.page.once("dialog", (asked) => void asked.accept());
  await bob.press("Leave this world for good");
  await bob.sees(".over");
  await ann.until("Bob gone", ({ bodies }) => bodies.length === 0);
  await ann.say("without");
  await ann.until("it arrive", ({ chat }) => chat.some(({ body, state }) => body === "without" && state === "sent"));
  await ann.press("Invite");
  await ann.page.getByLabel("Whom would you like to see here?").fill("bob");
  await ann.press("Invite", dialog(ann));
  await ann.sees("dialog .rows li");
  await close(ann);
  await bob.page.goto(link);
  await bob.press("Walk in");
  await bob.walking();
  await talk([ann, "together"]);
  await bob.sees(".said.unreadable");
  await bob.picture("private-8-unreadable");
  const { chat } = await bob.state();
  ensure(!chat.some(({ body }) => body === "without"), chat);
  ensure(room === (await bob.state()).world.room_id, "another world");
}

/** In another world, which is private and no more than that. */
async function speak({ link }) {
  for (const person of [ann, bob]) {
    await person.page.goto(link);
    await person.press("Walk in");
    await person.walking();
    await person.sees(".chat-head .shield.plain");
  }
  await talk([ann, "in the clear"], [bob, "so far"]);
}

/** Ann has it encrypted; both go on at once, without a new page. */
async function seal() {
  await about(bob);
  ensure((await dialog(bob).getByRole("button", { name: "Encrypt it, for ever" }).count()) === 0, "Bob may encrypt");
  await close(bob);
  await about(ann);
  await ann.picture("private-9-offer");
  await ann.press("Encrypt it, for ever");
  await ann.sees("dialog .shield-title.encrypted");
  await close(ann);
  await talk([bob, "under the seal"], [ann, "so be it"]);
  for (const person of [ann, bob]) {
    await person.sees(".chat-head .shield.encrypted");
    // What was said before is no less certain than it was, once the keys of both are there.
    await person.finds("that nothing is in doubt", () => document.querySelector(".chat .doubt") === null);
  }
  await bob.picture("private-10-sealed");
}

/** A conversation of the two, so that there is one in which to ask. */
async function write() {
  await ann.page.locator(".chat-tab:last-child").press("Enter");
  await ann.press("New message");
  await ann.page.getByLabel("Address").fill("bob");
  await ann.press("Write");
  await ann.sees(".thread");
  await bob.page.locator(".chat-tab:last-child").press("Enter");
  await bob.sees(".invitation");
  await bob.press("Accept");
  await bob.sees(".thread-head .shield.encrypted");
  await ann.sees(".thread-head .shield.encrypted");
}

/** Ann asks while no page of Bob's is open. */
async function ask() {
  await bob.close();
  await ann.page.locator(".thread-head .shield").press("Enter");
  await dialog(ann).getByRole("button", { name: /^Verify / }).press("Enter");
  await ann.sees(".flow .pulse");
}

/** Bob opens one: he is asked once, and both come to the end. */
async function answer({ home }) {
  await bob.reopen(home);
  await bob.sees(".note-card.asks");
  await bob.picture("private-11-asked");
  ensure((await bob.page.locator(".note-card.asks").count()) === 1, "asked more than once");
  await bob.press("Compare");
  const emoji = [];
  for (const person of [ann, bob]) emoji.push(await (await person.sees(".emoji-row")).innerText());
  ensure(emoji[0] !== "" && emoji[0] === emoji[1], { emoji });
  for (const person of [ann, bob]) await person.press("They are the same");
  for (const person of [ann, bob]) await person.sees(".flow-sign.verified");
  for (const person of [ann, bob]) await person.press("Close");
}

/** The next page does not ask again. */
async function forget({ home }) {
  await bob.close();
  await bob.reopen(home);
  await bob.finds("his device", () => document.querySelector(".note-card.recovery") !== null, null, 60_000);
  ensure((await bob.page.locator(".note-card.asks").count()) === 0, "Bob is asked again");
}

await story({ make, refuse, invite, enter, leave, speak, seal, write, ask, answer, forget });
