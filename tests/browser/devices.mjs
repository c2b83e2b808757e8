// Ann in two tabs, on a telephone with another client, and in a second browser; Bob writes to her.
import { ensure, Person, story } from "./lib.mjs";
import { cryptoApi, Device, SAS, until } from "../clients/sdk/device.mjs";

const { VerificationPhase, VerifierEvent } = cryptoApi;
/** The library that encrypts is fetched, opened, and has made its keys. */
const OPENED_MS = 60_000;

// Steps are answered on the standard output: what the other client says of itself is not for it.
for (const level of ["log", "info", "debug"]) console[level] = console.error;

/** One browser of Ann's: two tabs of it, of which the first holds the device. */
let desk = null;
let beside = null;
/** Her other client, and that of Bob. */
let phone = null;
let bob = null;
let room = "";
let recoveryKey = "";
const lines = [];
/** How many of them are Ann's. */
let written = 0;

const dialog = (person) => person.page.locator("dialog");

/** Opens the conversations beside the list of worlds, and the only one of them. */
async function conversation(person) {
  await (await person.sees(".worlds-messages")).press("Enter");
  const row = await person.sees(".messages-list [data-room] > .conversation");
  await row.press("Enter");
  await person.sees(".thread");
}

/** Closes whatever lies over the list of worlds. */
async function close(person) {
  for (let open = 0; open < 2 && (await dialog(person).count()) > 0; open += 1) await person.page.keyboard.press("Escape");
  await person.page.keyboard.press("Escape");
  await person.sees("dialog", "detached");
}

/** A card that says what is to be done about keys. */
const card = (person, name, state = "visible") => person.sees(`.note-card.${name}`, state);

function opened(person, name) {
  return person.finds(`the card ${name}`, (it) => document.querySelector(`.note-card.${it}`) !== null, name, OPENED_MS);
}

function reads(person, line) {
  // A mark may follow the words.
  const look = (text) => [...document.querySelectorAll(".thread .said")].some((said) => said.firstChild.textContent === text);
  return person.finds(`the line ${line}`, look, line);
}

/** Ann writes in one of her tabs; Bob reads it, and so does everybody else of hers. */
async function writes(person, line, others) {
  await person.page.locator(".thread input").fill(line);
  await person.page.keyboard.press("Enter");
  lines.push(line);
  written += 1;
  await bob.hears(room, line);
  for (const other of [person, ...others]) await reads(other, line);
}

/** Bob writes, by a device that may be a new one; Ann reads it. */
async function answers(device, line, persons) {
  lines.push(line);
  await device.says(room, line);
  for (const person of persons) await reads(person, line);
}

/** What the page of somebody asks the node, by the token of their page. */
function api(person, path, body = null) {
  return person.page.evaluate(
    async ([path, body]) => {
      const token = JSON.parse(localStorage.getItem("wayside.session")).access_token;
      const headers = { Authorization: `Bearer ${token}` };
      const answer = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
      return answer.json();
    },
    [path, body],
  );
}

/** Where a message stands in the ratchet of its session: the first field of what is sealed is that number. */
function indexOf(ciphertext) {
  const bytes = Buffer.from(ciphertext, "base64");
  ensure(bytes[0] === 3 && bytes[1] === 8, "not a Megolm message");
  let index = 0;
  for (let at = 2, shift = 0; ; at += 1, shift += 7) {
    index |= (bytes[at] & 0x7f) << shift;
    if (bytes[at] < 0x80) return index;
  }
}

/** The same place in a ratchet seals but one message, ever. */
async function checkRatchet(person) {
  const page = await api(person, `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages?dir=b&limit=100`);
  const sealed = page.chunk.filter(({ type, sender }) => type === "m.room.encrypted" && sender.startsWith("@ann:"));
  const places = sealed.map(({ content }) => `${content.session_id} ${indexOf(content.ciphertext)}`);
  ensure(sealed.length >= written && new Set(places).size === places.length, { places, written });
}

/** Ann's first tab becomes a device, and keeps its recovery key; Bob writes with a client of others. */
async function arrive({ home, users, password }) {
  desk = await Person.open("Desk");
  await desk.signIn(home, users.ann, password);
  await opened(desk, "recovery");
  await desk.press("Save it now");
  recoveryKey = await (await desk.sees("dialog textarea")).inputValue();
  await desk.press("I have saved it");
  await card(desk, "recovery", "detached");
  bob = await Device.logIn(home, users.bob, "Bob's");
  await (await desk.sees(".worlds-messages")).press("Enter");
  await desk.press("New message");
  await desk.page.getByLabel("Address").fill("bob");
  await desk.press("Write");
  await desk.sees(".thread");
  const invited = () => bob.client.getRooms().find((one) => one.getMyMembership() === "invite");
  room = (await until("Ann's invitation at Bob's", invited)).roomId;
  await bob.client.joinRoom(room);
  await until("two members", () => bob.room(room)?.getJoinedMembers().length === 2);
  await writes(desk, "from the first tab", []);
  await answers(bob, "read by the first", [desk]);
}

/** Both tabs say and read the same, by one device. */
async function share({ home }) {
  beside = await desk.tab("Beside");
  await beside.page.goto(home);
  await conversation(beside);
  for (const line of lines) await reads(beside, line);
  await writes(beside, "from the second tab", [desk]);
  await answers(bob, "read by both", [desk, beside]);
  await writes(desk, "and from the first again", [beside]);
  const { devices } = await api(desk, "/_matrix/client/v3/devices");
  // The story has one of its own.
  ensure(devices.length === 2, devices);
  await checkRatchet(desk);
}

async function asks() {
  await until("Ann's own keys on her telephone", () => phone.crypto.userHasCrossSigningKeys());
  return phone.crypto.requestOwnUserVerification();
}

const inPhase = (request, phase) => until(`the phase ${phase}`, () => request.phase === VerificationPhase[phase]);

/** Her telephone follows until both show the same emoji; gives what confirms them. */
async function compare(request, person) {
  await inPhase(request, "Ready");
  const verifier = await request.startVerification(SAS);
  let shown = null;
  verifier.on(VerifierEvent.ShowSas, (sas) => (shown = sas));
  // Calling it off in the middle is part of the story.
  const finished = verifier.verify().catch(() => {});
  const emoji = await until("emoji on the telephone", () => shown?.sas.emoji);
  const row = await person.sees(".emoji-row");
  const seen = (await row.locator(".emoji").allInnerTexts()).map((one) => one.trim());
  // Whether a picture is asked for in colour is left to those who show it.
  const plain = (one) => one.replaceAll("\ufe0f", "");
  ensure(seen.map(plain).join() === emoji.map(([symbol]) => plain(symbol)).join(), { seen, emoji });
  return async () => {
    await shown.confirm();
    await finished;
  };
}

/** A question of her telephone is shown in both tabs, declined in one, and gone in the other; the telephone is told. */
async function decline({ home, users }) {
  for (const person of [desk, beside]) await close(person);
  phone = await Device.logIn(home, users.ann, "Ann's telephone");
  for (const person of [desk, beside]) await card(person, "sign-in");
  const request = await asks();
  for (const person of [desk, beside]) await card(person, "asks");
  await beside.picture("devices-1-asked");
  await beside.press("Not now");
  await inPhase(request, "Cancelled");
  ensure(request.cancellationCode === "m.user", request.cancellationCode);
  for (const person of [desk, beside]) await card(person, "asks", "detached");
  // It is still not known whose the telephone is.
  await card(desk, "sign-in");
}

/** The next question is answered in one tab alone. */
async function answerInOne() {
  const request = await asks();
  for (const person of [desk, beside]) await card(person, "asks");
  await beside.press("Compare");
  await card(desk, "asks", "detached");
  ensure((await dialog(desk).count()) === 0, "both tabs show it");
  await compare(request, beside);
  // The device is in the other tab: with that goes what it compared, and the telephone is told.
  await desk.close();
  await inPhase(request, "Cancelled");
  await beside.sees(".flow-sign.caution");
  await beside.picture("devices-2-broken-off");
  await beside.press("Close");
}

/** The tab that is left goes on with the same keys, also with those whom it has never met. */
async function goOn({ home, users }) {
  await conversation(beside);
  for (const line of lines) await reads(beside, line);
  await writes(beside, "without the first tab", []);
  await answers(bob, "read all the same", [beside]);
  const other = await Device.logIn(home, users.bob, "Bob's other one");
  await until("the room", () => other.room(room)?.getJoinedMembers().length === 2);
  // Whoever is new takes one of the keys that are good once.
  await answers(other, "from a device that is new", [beside]);
  await writes(beside, "to the new one too", []);
  await other.hears(room, "to the new one too");
  await checkRatchet(beside);
  const counts = await until("keys enough", async () => {
    const { one_time_key_counts: counts } = await api(beside, "/_matrix/client/v3/keys/upload", {});
    return counts.signed_curve25519 >= 45 ? counts : null;
  });
  await close(beside);
  return counts;
}

/** Her telephone asks while no page is open; a page finds it, also the next one, and breaks off what it began. */
async function reload({ home }) {
  await beside.close();
  let request = await asks();
  await beside.reopen(home);
  await card(beside, "asks");
  await beside.page.reload();
  await card(beside, "asks");
  ensure((await beside.page.locator(".note-card.asks").count()) === 1, "asked more than once");
  await beside.press("Compare");
  await compare(request, beside);
  await beside.page.reload();
  await inPhase(request, "Cancelled");
  // It comes to an end all the same.
  request = await asks();
  await card(beside, "asks");
  await beside.press("Compare");
  const confirm = await compare(request, beside);
  await beside.press("They are the same");
  await confirm();
  await beside.sees(".flow-sign.verified");
  await beside.press("Close");
  await card(beside, "sign-in", "detached");
  await until("Ann's secrets on her telephone", () => phone.crypto.isCrossSigningReady());
  await beside.page.reload();
  await beside.sees(".worlds-messages");
  await conversation(beside);
  await close(beside);
  ensure((await beside.page.locator(".note-card.asks").count()) === 0, "what is over is asked again");
}

/** The page asks, and is loaded anew: the telephone asks nobody any more. */
async function askAndGo({ home, users }) {
  await phone.leave();
  phone = await Device.logIn(home, users.ann, "Ann's new telephone");
  await card(beside, "sign-in");
  await beside.press("Verify");
  await beside.sees(".flow .pulse");
  const request = await until("the question on the telephone", () => phone.requests.at(-1));
  await inPhase(request, "Requested");
  await beside.page.reload();
  await inPhase(request, "Cancelled");
  await beside.close();
}

/** In a second browser, with everything else of hers closed, Ann types her recovery key. */
async function recover({ home, users, password }) {
  phone.stop();
  const second = await Person.open("Second");
  await second.signIn(home, users.ann, password);
  await opened(second, "unverified");
  await second.press("Use the recovery key");
  const key = second.page.getByRole("textbox", { name: "Recovery key" });
  const refusal = async (typed) => {
    await key.fill(typed);
    await second.press("Confirm this sign-in");
    const words = await (await second.sees("dialog .wrong")).innerText();
    ensure((await key.inputValue()) === typed, "what was typed is gone");
    return words;
  };
  for (const typed of ["EsTc", recoveryKey.slice(5), recoveryKey.replace(/.$/, (last) => (last === "x" ? "y" : "x"))]) {
    ensure((await refusal(typed)).startsWith("That is no recovery key."), typed);
  }
  await second.picture("devices-3-mistyped");
  const { encodedPrivateKey: another } = await bob.crypto.createRecoveryKeyFromPassphrase();
  ensure((await refusal(another)).startsWith("This is a recovery key, but not the newest one"), "another key");
  await card(second, "unverified");
  // As people type who read it from paper.
  await key.fill("");
  await key.pressSequentially(`  ${recoveryKey.replace(/ /g, "  ")} `);
  await second.press("Confirm this sign-in");
  await second.sees("dialog", "detached");
  await card(second, "unverified", "detached");
  await conversation(second);
  for (const line of lines) await reads(second, line);
  await second.picture("devices-4-recovered");
  await writes(second, "from the second browser", []);
  await checkRatchet(second);
  await second.leave();
}

/** Nothing of the other client is left to run. */
async function end() {
  for (const device of [bob, phone]) device.stop();
}

await story({ arrive, share, decline, answerInOne, goOn, reload, askAndGo, recover, end });
process.exit();
