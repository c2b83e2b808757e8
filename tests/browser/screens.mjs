// Ann sees every screen of what only members have, at a desk and on a telephone, in two languages.
import { readFileSync } from "node:fs";
import { addAuthenticator, ensure, Person, story } from "./lib.mjs";
import { island } from "./island.mjs";
import { cryptoApi, Device, SAS, until } from "../clients/sdk/device.mjs";

const { VerificationPhase, VerifierEvent } = cryptoApi;
const OPENED_MS = 60_000;
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const DESK = { viewport: { width: 1280, height: 800 } };

// Steps are answered on the standard output: what the other client says of itself is not for it.
for (const level of ["log", "info", "debug"]) console[level] = console.error;

let ann = null;
let bob = null;
let phone = null;
let room = "";
let way = null;
let words = {};
let troubles = [];

const dialog = () => ann.page.locator("dialog");
/** Closes what is open over the conversations, or beside them. */
const close = async () => {
  await ann.page.keyboard.press("Escape");
  await ann.sees("dialog:not(.messages-dialog)", "detached");
};

/** Goes back from the conversations to the list of worlds. */
const toWorlds = async () => {
  await ann.sees(".messages-dialog");
  await ann.page.keyboard.press("Escape");
  await ann.finds("no dialog", async () => {
    // One that lay under another comes back after it.
    await new Promise((resolve) => setTimeout(resolve, 50));
    return document.querySelector("dialog") === null;
  });
};

/** What a key of the page's texts says in the language of the story. */
function t(key, values = {}) {
  ensure(words[key] !== undefined, `there is no text ${key}`);
  return words[key].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Keeps a picture of a screen, and notes everything that keeps somebody from using it. */
async function look(name) {
  const found = await ann.hindrances();
  troubles.push(...found.map((one) => `${name}: ${one}`));
  await ann.picture(`screens-${way.locale.slice(0, 2)}-${way.phone ? "phone" : "desk"}-${name}`);
}

function ends() {
  const found = [...new Set(troubles)];
  troubles = [];
  ensure(found.length === 0, found.join("\n"));
}

/** A card in the way is drawn down to its end, for what stands below the first look. */
async function lookDown(name, selector) {
  await look(name);
  const more = await ann.page.locator(selector).evaluate((it) => {
    it.scrollTop = it.scrollHeight;
    return it.scrollTop > 0;
  });
  if (more) await look(`${name}-below`);
}

/** What looks for hindrances finds those that there are. */
async function noticesHindrances() {
  await ann.page.evaluate(() => {
    const plant = (tag, more) => document.querySelector(".welcome-card").append(Object.assign(document.createElement(tag), more));
    plant("input", { id: "planted", name: "nameless" });
    plant("p", { id: "planted-too", textContent: "too far away" });
    Object.assign(document.querySelector("#planted-too").style, { position: "fixed", left: `${innerWidth - 20}px` });
    document.querySelector(".welcome-card .quiet").style.marginTop = "-40px";
  });
  const found = (await ann.hindrances()).join();
  ensure(found.includes("label: #planted") && found.includes("beyond the edge") && found.includes("lies over another"), { found });
  await ann.page.evaluate(() => {
    document.querySelectorAll("#planted, #planted-too").forEach((it) => it.remove());
    document.querySelector(".welcome-card .quiet").style.marginTop = "";
  });
}

/** How somebody comes to a node: everything that they are shown before they are anybody. */
async function doors({ home, locale, phone: isPhone, reset }) {
  way = { locale, phone: isPhone };
  words = {};
  for (const part of ["", "members.", "passkeys.", "sign-in."]) {
    const file = new URL(`../../node/web/src/i18n/${part}${locale.slice(0, 2)}.json`, import.meta.url);
    Object.assign(words, JSON.parse(readFileSync(file, "utf8")));
  }
  ann = await Person.open("Ann", { ...(isPhone ? PHONE : DESK), locale });
  await ann.page.goto(home);
  await ann.sees(".welcome-card");
  await noticesHindrances();
  await look("welcome");
  await ann.press(t("welcome.have_account"));
  await ann.sees(".by-passkey button");
  await ann.page.getByLabel(t("welcome.user_or_mail")).waitFor();
  await ann.page.getByText(t("welcome.user_hint")).waitFor();
  await lookDown("sign-in", ".welcome");
  await ann.page.locator("input[name=username]").fill("ann");
  await ann.page.locator("input[name=password]").fill("not the password");
  await ann.press(t("welcome.sign_in"));
  await ann.page.getByText(t("unproven.credentials")).waitFor();
  await look("sign-in-wrong");
  await ann.press(t("passkey.forgot"));
  await look("forgot");
  for (const [name, path] of [
    ["letting-in", "/sign-in?sso=https%3A%2F%2Fclient.example%2F"],
    ["link", "/link"],
    ["nothing-asked", "/sign-in"],
    ["reset", reset],
  ]) {
    await ann.page.goto(new URL(path, home).href);
    await ann.sees(".welcome-card h1");
    await lookDown(name, ".welcome");
  }
  await ann.page.goto(new URL("/confirm/nothing/here", home).href);
  await ann.sees("h1");
  await look("confirm-over");
  ends();
}

/** Waits until the device works, and says by a card what it would have of its person. */
function opened(name) {
  return ann.finds(`the card ${name}`, (it) => document.querySelector(`.note-card.${it}`) !== null, name, OPENED_MS);
}

async function signIn({ home, users, password }) {
  await ann.page.goto(home);
  await ann.press(t("welcome.have_account"));
  await ann.page.locator("input[name=username]").fill(users.ann);
  await ann.page.locator("input[name=password]").fill(password);
  await ann.press(t("welcome.sign_in"));
  await ann.sees(".worlds-messages");
}

const openMessages = async () => {
  await (await ann.sees(".worlds-messages")).press("Enter");
  await ann.sees(".messages-list");
};

/** The conversations, and the recovery key. */
async function talk(given) {
  const { home, users } = given;
  await signIn(given);
  await opened("recovery");
  await look("worlds");
  await openMessages();
  await look("messages-empty");
  await ann.press(t("messages.new"));
  for (const [typed, answer] of [["nowhere:@", "error.no_address"], ["bobb", "error.nobody"]]) {
    await dialog().locator("input").fill(typed);
    await ann.press(t("messages.start"));
    await ann.page.getByText(t(answer)).waitFor();
  }
  await look("messages-new");
  await close();
  bob = await Device.logIn(home, users.bob, "Bob's telephone");
  await ann.sees(".messages-list");
  await ann.press(t("messages.new"));
  await dialog().locator("input").fill(users.bob);
  await ann.press(t("messages.start"));
  await ann.sees(".thread");
  const invited = () => bob.client.getRooms().find((one) => one.getMyMembership() === "invite");
  room = (await until("Ann's invitation at Bob's", invited)).roomId;
  await bob.client.joinRoom(room);
  await until("two members", () => bob.room(room)?.getJoinedMembers().length === 2);
  const input = ann.page.locator(".thread input");
  for (const line of ["Are you there?", "I have put the lantern beside the old gate, where the path bends twice. Come and see it before the sun goes down!"]) {
    await input.fill(line);
    await ann.page.keyboard.press("Enter");
    await bob.hears(room, line);
  }
  await bob.says(room, "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft");
  await ann.finds("the longest word", () => [...document.querySelectorAll(".thread .said")].some((it) => it.textContent.startsWith("Donau")));
  await look("thread");
  await ann.page.locator(".thread-head button.shield").press("Enter");
  await ann.sees("dialog .shield-title");
  await lookDown("details", ".dialog-body");
  await close();
  await ann.sees(".thread");
  await ann.press(t("messages.back"));
  const { room_id: walk } = await bob.client.createRoom({ name: "A walk to the lake", invite: [users.ann], preset: "private_chat" });
  ensure(walk !== room, "one room for all");
  await ann.sees(".invitation");
  await look("messages-list");
  await ann.press(t("messages.decline"));
  await ann.sees(".invitation", "detached");
  await ann.press(t("card.recovery_do"), dialog());
  await ann.sees("dialog textarea");
  await lookDown("recovery", ".dialog-body");
  await ann.press(t("recovery.done"));
  await ann.sees("dialog textarea", "detached");
  ends();
}

const inPhase = (request, phase) => until(`the phase ${phase}`, () => request.phase === VerificationPhase[phase]);

/** Comparing with another device of hers, from the first question to each of its ends. */
async function verify({ home, users }) {
  await toWorlds();
  phone = await Device.logIn(home, users.ann, "Lantern on a telephone with a rather long name");
  await ann.sees(".note-card.sign-in");
  await look("new-sign-in");
  await openMessages();
  await look("messages-cards");
  await ann.press(t("messages.keys"));
  await ann.sees("dialog .rows");
  await lookDown("devices", ".dialog-body");
  await close();
  await toWorlds();
  await ann.page.locator(".note-card.sign-in .row button").first().press("Enter");
  await ann.sees(".flow .pulse");
  await look("verify-waiting");
  let request = await until("a question", () => phone.requests.at(-1));
  await close();
  await inPhase(request, "Cancelled");
  await until("her keys on the telephone", () => phone.crypto.userHasCrossSigningKeys());
  request = await phone.crypto.requestOwnUserVerification();
  await ann.sees(".note-card.asks");
  await look("verify-asked");
  await ann.press(t("card.compare"));
  await inPhase(request, "Ready");
  await look("verify-ready");
  let verifier = await request.startVerification(SAS);
  verifier.verify().catch(() => {});
  await ann.sees(".emoji-row");
  await lookDown("verify-emoji", ".dialog-body");
  await ann.press(t("verify.mismatch"));
  await ann.sees(".flow-sign.caution");
  await look("verify-mismatch");
  await ann.press(t("verify.close"));
  request = await phone.crypto.requestOwnUserVerification();
  await ann.sees(".note-card.asks");
  await ann.press(t("card.compare"));
  await inPhase(request, "Ready");
  verifier = await request.startVerification(SAS);
  let shown = null;
  verifier.on(VerifierEvent.ShowSas, (sas) => (shown = sas));
  const finished = verifier.verify();
  await ann.sees(".emoji-row");
  await ann.press(t("verify.match"));
  await ann.sees(".flow .pulse");
  await look("verify-confirmed");
  await until("the emoji", () => shown);
  await shown.confirm();
  await finished;
  await ann.sees(".flow-sign.verified");
  await look("verify-done");
  await ann.press(t("verify.close"));
  ends();
}

/** A world that she keeps to herself and whom she invites. */
async function world({ users }) {
  await ann.press(t("worlds.create"));
  await ann.sees(".easel");
  await ann.page.locator(".easel input[type=file]").setInputFiles({ name: "den.glb", mimeType: "model/gltf-binary", buffer: island() });
  await ann.sees(".create-under img");
  await ann.page.locator(".access input[value=private]").press("Space");
  await ann.sees(".choice.within");
  await lookDown("create", ".create");
  await ann.press(t("create.do"));
  await ann.walking();
  await ann.sees(".chat-head .shield.encrypted", "attached");
  if (way.phone) await ann.page.locator(".chat-opener").press("Enter");
  await ann.sees(".chat input");
  await look("inside");
  await ann.page.locator(".chat-tab:last-child").press("Enter");
  await ann.sees(".messages-list");
  await look("inside-messages");
  await ann.page.locator(".messages-list [data-room] > .conversation").first().press("Enter");
  await ann.sees(".thread");
  await look("inside-thread");
  await ann.page.keyboard.press("Escape");
  await ann.page.keyboard.press("Escape");
  if (way.phone) await ann.page.locator(".chat-head button").last().press("Enter");
  await ann.page.locator(".here").press("Enter");
  await ann.sees(".here-list");
  await look("here");
  await ann.press(t("hud.about"));
  await ann.sees("dialog .shield-title");
  await lookDown("about-world", ".dialog-body");
  await close();
  await ann.press(t("hud.invite"));
  await dialog().locator("input").first().fill(users.bob);
  await ann.press(t("invite.do"), dialog());
  await ann.sees("dialog .rows li");
  await lookDown("invite", ".dialog-body");
  await close();
  ends();
}

/** A door that is closed to her, a sign-in that has to be confirmed, and passkeys. */
async function confirm(given) {
  const { home } = given;
  await ann.page.goto(new URL("/w/nowhere-at-all", home).href);
  await ann.sees(".closed-card");
  await look("closed");
  await ann.press(t("over.worlds"));
  await ann.sees(".worlds-messages");
  await look("worlds-own");
  await ann.press(t("worlds.sign_out"));
  await ann.sees(".welcome-card");
  await signIn(given);
  await opened("unverified");
  await look("unverified");
  await ann.press(t("card.with_key"));
  await dialog().locator("input").fill("EsTc of something else");
  await ann.press(t("restore.do"));
  await ann.sees("dialog .wrong");
  await look("restore");
  await close();
  await ann.press(t("card.with_nothing"));
  await ann.sees("dialog .form");
  await dialog().locator("input[type=password]").fill("not the password");
  await ann.press(t("reset.do"));
  await ann.sees("dialog .wrong");
  await look("begin-anew");
  await close();
  await openMessages();
  await ann.page.locator(".messages-list [data-room] > .conversation").first().press("Enter");
  await ann.sees(".said.unreadable");
  await look("unreadable");
  await ann.press(t("messages.back"));
  await toWorlds();
  await ann.press(t("hud.settings"));
  await ann.sees(".passkeys button");
  await lookDown("passkeys-none", ".dialog-body");
  await addAuthenticator(ann.page);
  await ann.press(t("passkey.add"));
  await ann.page.locator(".passkeys input[type=password]").fill(given.password);
  await lookDown("passkeys-prove", ".dialog-body");
  await ann.press(t("passkey.go_on"));
  await ann.sees(".passkey-list li");
  await lookDown("passkeys-one", ".dialog-body");
  await ann.page.locator(".passkey-list button").first().press("Enter");
  await lookDown("passkeys-rename", ".dialog-body");
  await close();
  await ann.press(t("card.with_nothing"));
  await ann.sees("dialog .form .secondary");
  await look("begin-anew-by-passkey");
  await close();
  ends();
}

async function end() {
  for (const device of [bob, phone]) device?.stop();
  await ann.leave();
}

await story({ doors, talk, verify, world, confirm, end });
process.exit();
