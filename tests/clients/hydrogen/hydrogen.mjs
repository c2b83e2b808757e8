// Alice and Bob live with a node through Hydrogen, a client of others, on pages of a real browser.
//
//   hydrogen.mjs full URL     all that the client can do
//   hydrogen.mjs smoke URL    a message each way in an encrypted room
//
// Each run makes people of its own, so that a node may be visited more than once.
import { randomBytes } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { crc32, deflateSync } from "node:zlib";
import { packages } from "../../browser/lib.mjs";
import { byPassword, Device } from "../sdk/device.mjs";

const { chromium } = packages("playwright-core");
const CHROMIUM = process.env.WAYSIDE_CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"];
const DIST = join(process.env.WAYSIDE_HYDROGEN, "dist");
const SHOTS = process.env.WAYSIDE_SHOTS ?? fileURLToPath(new URL("../../../out/shots", import.meta.url));
const TYPES = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};
const WINDOW = { width: 1000, height: 640 };
const PASSWORD = "correct horse battery staple";
const SOON_MS = 20_000;
const LOOK_MS = 50;
/** Where its panels close, the client looks for a room of the name `true`. */
const KNOWN_TROUBLE = /getKey\(true\) failed/;
const MILES = 36;
const PICTURE_SIDE = 96;
const HALLO = "hallo from Alice";
const ANSWER = "and hallo from Bob";
const NEWS = "here I am again";
const SEALED_COMPOSER = ".MessageComposer_input textarea[placeholder^='Send an encrypted']";
const HEART = "\u2764\uFE0F";

const begun = performance.now();

function done(what) {
  console.log(`${((performance.now() - begun) / 1000).toFixed(2).padStart(6)} s  ${what}`);
}

function ensure(holds, what) {
  if (!holds) throw new Error(typeof what === "string" ? `not so: ${what}` : JSON.stringify(what));
}

/** Waits until `seen` answers with something, and passes that on. */
async function until(what, seen) {
  for (const start = performance.now(); ; await pause(LOOK_MS)) {
    const answer = await seen();
    if (answer) return answer;
    if (performance.now() - start > SOON_MS) throw new Error(`nobody ever saw ${what}`);
  }
}

// ---- what is asked of the server without any client ----

async function ask(method, path, body, token) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) });
  return { status: answer.status, body: await answer.json() };
}

async function get(token, path) {
  const { status, body } = await ask("GET", path, undefined, token);
  ensure(status === 200, { path, status, body });
  return body;
}

async function post(token, path, content, method = "POST") {
  const { status, body } = await ask(method, path, content, token);
  ensure(status === 200, { path, status, body });
  return body;
}

let transactions = 0;
const say = (token, room, body) => {
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/send/m.room.message/${(transactions += 1)}`;
  return post(token, path, { msgtype: "m.text", body }, "PUT");
};

/** The server holds the ciphertext of a message, and nothing of its words. */
async function checkSealed(token, room, ...words) {
  const { chunk } = await get(token, `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages?dir=b&limit=100`);
  const sealed = chunk.filter((event) => event.type === "m.room.encrypted");
  ensure(sealed.length >= words.length && sealed.every((event) => event.content.ciphertext), "messages are encrypted");
  ensure(chunk.every((event) => event.type !== "m.room.message"), "and there are no others");
  for (const each of words) ensure(!JSON.stringify(chunk).includes(each), `the server cannot read "${each}"`);
}

// ---- people on pages ----

let site = null;
let browser = null;
const everybody = [];

/** Serves the page of the client, which setup has built. */
async function openSite() {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://page");
    const path = normalize(join(DIST, pathname === "/" ? "index.html" : pathname));
    const file = path.startsWith(DIST) ? await readFile(path).catch(() => null) : null;
    response.writeHead(file ? 200 : 404, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" });
    response.end(file);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

class Person {
  /** What the server answered to what the page sent it to keep. */
  uploads = [];
  #troubles = [];

  /** Makes an account, and opens a page on which nobody has logged in. */
  static async register(name) {
    const account = { username: name, password: PASSWORD, auth: { type: "m.login.dummy" } };
    const made = await post(undefined, "/_matrix/client/v3/register", account);
    const context = await browser.newContext({ viewport: WINDOW, locale: "en-GB", deviceScaleFactor: 1 });
    const person = new Person(name, made, await context.newPage());
    everybody.push(person);
    await person.page.goto(`http://127.0.0.1:${site.address().port}/`);
    return person;
  }

  constructor(name, made, page) {
    this.name = name;
    this.userId = made.user_id;
    /** Of a login of its own, by which a story speaks to the server past the client. */
    this.token = made.access_token;
    this.page = page;
    page.setDefaultTimeout(SOON_MS);
    page.on("pageerror", (error) => {
      if (!KNOWN_TROUBLE.test(error.message)) this.#troubles.push(error.stack ?? String(error));
    });
    page.on("response", (response) => {
      const isUpload = response.request().method() === "POST" && response.url().includes("/media/");
      if (isUpload) this.uploads.push(response);
    });
  }

  async logIn() {
    const { page } = this;
    await page.locator("#homeserver").fill(url);
    await page.locator("#homeserver").press("Tab");
    await page.locator("#username").fill(this.userId);
    await page.locator("#password").fill(PASSWORD);
    await page.getByRole("button", { name: "Log In", exact: true }).click();
    await this.sees(".LeftPanel");
    // The list of rooms is there before the first sync is over.
    await this.sees(".SessionStatusView.hidden, .SessionStatusView[hidden]", "attached");
  }

  /** The session that the page keeps. */
  async session() {
    const [kept] = await this.page.evaluate(() => JSON.parse(localStorage.getItem("hydrogen_sessions_v1")));
    return kept;
  }

  async logOut() {
    const { page } = this;
    const { accessToken } = await this.session();
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.locator(".LogoutScreen").getByRole("button", { name: "Log out" }).click();
    await page.getByRole("link", { name: "Sign In" }).click();
    await this.sees("#homeserver");
    const { status } = await ask("GET", "/_matrix/client/v3/account/whoami", undefined, accessToken);
    ensure(status === 401, `the token of ${this.userId} is worth nothing`);
  }

  /** Types the key of the secret storage, by which the client finds the backup of keys. */
  async typesKey(key) {
    const { page } = this;
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByPlaceholder("Security key").fill(key);
    await page.getByRole("button", { name: "Set up" }).click();
    await page.getByText("Key backup is enabled").waitFor();
  }

  async sees(selector, state = "visible") {
    const place = this.page.locator(selector).first();
    try {
      await place.waitFor({ state });
    } catch (error) {
      throw new Error(`${this.name} never saw ${selector} ${state}: ${error.message.split("\n")[0]}`);
    }
    return place;
  }

  tile(name) {
    return this.page.locator(".RoomList li", { hasText: name });
  }

  async opens(name) {
    await this.tile(name).locator("a").click();
    await this.page.locator(".middle-header h2", { hasText: name }).waitFor();
  }

  message(body) {
    const has = this.page.locator(".Timeline_messageBody", { hasText: body });
    return this.page.locator(".Timeline_message", { has }).last();
  }

  async says(body) {
    const place = await this.sees(".MessageComposer_input textarea");
    await place.fill(body);
    await place.press("Enter");
    await this.hears(body);
    await this.page.locator(".Timeline_message.unsent").first().waitFor({ state: "detached" });
  }

  async hears(body) {
    try {
      await this.message(body).waitFor();
    } catch {
      throw new Error(`${this.name} never heard "${body}"`);
    }
  }

  /** Chooses from the menu of a message. */
  async picks(body, choice) {
    await this.message(body).hover();
    await this.message(body).locator(".Timeline_messageOptions").click();
    await this.page.locator(".menu").getByRole("button", { name: choice }).click();
  }

  async picture(name) {
    await mkdir(SHOTS, { recursive: true });
    await this.page.screenshot({ path: join(SHOTS, `hydrogen-${name}-${this.name.split("-")[0]}.png`) });
  }

  check() {
    ensure(this.#troubles.length === 0, `nothing broke on the page of ${this.name}: ${this.#troubles.join("\n")}`);
  }
}

/** A square picture with a gradient. */
function png(side) {
  const chunk = (kind, data) => {
    const named = Buffer.concat([Buffer.from(kind), data]);
    const ends = [Buffer.alloc(4), Buffer.alloc(4)];
    ends[0].writeUInt32BE(data.length);
    ends[1].writeUInt32BE(crc32(named));
    return Buffer.concat([ends[0], named, ends[1]]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header.set([8, 2], 8);
  const row = (y) => [0, ...Array.from({ length: side }, (_, x) => [(x * 255) / side, (y * 255) / side, 128]).flat()];
  const rows = Buffer.from(Array.from({ length: side }, (_, y) => row(y)).flat());
  const parts = [chunk("IHDR", header), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), ...parts]);
}

// ---- the story, part by part ----

async function arrive() {
  const run = randomBytes(3).toString("hex");
  const people = await Promise.all(["alice", "bob"].map((name) => Person.register(`${name}-${run}`)));
  done(`${people.map((each) => each.userId).join(" and ")} are registered`);
  return people;
}

async function enter(...people) {
  await Promise.all(people.map((each) => each.logIn()));
  done("both have logged in on their pages");
}

/** A room with a past that is longer than what a client is told at first. */
async function makePast(alice, bob) {
  const wish = { name: "The road", invite: [bob.userId] };
  const { room_id: room } = await post(alice.token, "/_matrix/client/v3/createRoom", wish);
  await post(bob.token, `/_matrix/client/v3/join/${encodeURIComponent(room)}`, {});
  for (let mile = 1; mile <= MILES; mile += 1) await say(alice.token, room, `mile ${mile} of the road`);
  return room;
}

async function readPast(alice, bob) {
  for (const one of [alice, bob]) {
    await one.opens("The road");
    await one.hears(`mile ${MILES} of the road`);
  }
  await until("the beginning of the road", async () => {
    await bob.page.locator(".Timeline_scroller").evaluate((place) => (place.scrollTop = 0));
    return bob.message("mile 1 of the road").isVisible();
  });
  const miles = await bob.page.locator(".Timeline_messageBody", { hasText: /^mile / }).count();
  ensure(miles === MILES, `all ${MILES} miles are there once: ${miles}`);
  done("history, page by page");

  await alice.says("is anybody on the road?");
  await bob.page.locator(".Timeline_jumpDown").click();
  await bob.hears("is anybody on the road?");
  await bob.says("I am");
  await alice.hears("I am");
  done("a message each way, live");
}

async function meetInQuiet(alice, bob) {
  const { page } = alice;
  await page.getByRole("button", { name: "Create room" }).click();
  await page.locator(".menu").getByRole("button", { name: "Create Room" }).click();
  await page.getByLabel("Room name").fill("A quiet room");
  ensure(await page.getByLabel("Enable end-to-end encryption").isChecked(), "rooms are encrypted unless one says no");
  await page.locator("form").getByRole("button", { name: "Create room" }).click();
  // The client goes there by itself, unless its sync tells of the room before the answer to its making.
  // A room that is still being made is in the list as well, with no id of the server.
  await page.locator(".RoomList a[href*='!']", { hasText: "A quiet room" }).click();
  await alice.sees(SEALED_COMPOSER);
  const room = decodeURIComponent(new URL(page.url()).hash).match(/\/room\/([^/]+)/)[1];

  await page.getByRole("button", { name: "Room options" }).click();
  await page.locator(".menu").getByRole("button", { name: "Room details" }).click();
  await page.locator(".RoomDetailsView_row", { hasText: "People" }).click();
  await page.getByRole("button", { name: "Invite to this room" }).click();
  await page.locator(".InvitePanelView__input").fill(bob.userId);
  await page.locator(".InvitePanelView__btn").click();

  await bob.opens("A quiet room");
  await bob.page.getByRole("button", { name: "Accept" }).click();
  await bob.sees(SEALED_COMPOSER);
  await page.locator(".AnnouncementView", { hasText: new RegExp(`${bob.name}.* joined the room`) }).waitFor();
  done("an encrypted room, an invitation, two members");
  return room;
}

async function talk(alice, bob, room) {
  await alice.says(HALLO);
  await bob.hears(HALLO);
  await bob.says(ANSWER);
  await alice.hears(ANSWER);
  await checkSealed(bob.token, room, HALLO, ANSWER);
  done("a message each way, encrypted on the server");
}

async function relate(alice, bob) {
  await bob.picks(HALLO, HEART);
  await alice.message(HALLO).locator(".Timeline_messageReactions button", { hasText: `${HEART} 1` }).waitFor();
  done("a reaction");

  await alice.picks(ANSWER, "Reply");
  await alice.sees(".MessageComposer_replyPreview");
  await alice.says("it is good to hear you");
  const reply = bob.message("it is good to hear you");
  await reply.locator(".ReplyPreviewView", { hasText: ANSWER }).waitFor();
  done("a reply");

  await alice.says("I should not have said that");
  await bob.hears("I should not have said that");
  await alice.picks("I should not have said that", "Delete");
  await bob.page.locator(".Timeline_messageBody", { hasText: "This message has been deleted" }).waitFor();
  done("a redaction");
}

async function sharePicture(alice, bob) {
  const { page } = alice;
  const chosen = page.waitForEvent("filechooser");
  await page.locator(".sendFile").click();
  await page.locator(".menu").getByRole("button", { name: "Send picture" }).click();
  await (await chosen).setFiles({ name: "road.png", mimeType: "image/png", buffer: png(PICTURE_SIDE) });
  const shown = bob.page.locator(".Timeline_messageBody .media img");
  await shown.waitFor();
  const width = () => shown.evaluate((image) => image.complete && image.naturalWidth);
  await until("the whole picture at Bob's", async () => (await width()) === PICTURE_SIDE);
  ensure(alice.uploads.length > 0, "the picture was uploaded");
  for (const each of alice.uploads) {
    const { content_uri: mxc } = await each.json();
    const headers = { authorization: `Bearer ${bob.token}` };
    const answer = await fetch(`${url}/_matrix/client/v1/media/download/${mxc.slice("mxc://".length)}`, { headers });
    const kept = Buffer.from(await answer.arrayBuffer());
    ensure(answer.status === 200 && kept.length > 0, "the server holds the picture");
    ensure(!kept.includes("PNG"), "and holds it encrypted");
  }
  done("an encrypted picture");
}

/** What is said in a room that is not open is counted, until the room is opened. */
async function count(alice, bob, road) {
  const badge = bob.tile("The road").locator(".badge");
  await bob.opens("The road");
  await badge.waitFor({ state: "hidden" });
  await bob.opens("A quiet room");
  await say(alice.token, road, "a word from the road");
  await until("a count of 1", async () => (await badge.isVisible()) && (await badge.textContent()) === "1");
  await bob.opens("The road");
  await bob.hears("a word from the road");
  await badge.waitFor({ state: "hidden" });
  // Not only on the page: the receipt reaches the server.
  const filter = encodeURIComponent(JSON.stringify({ room: { rooms: [road] } }));
  await until("no count on the server", async () => {
    const { rooms } = await get(bob.token, `/_matrix/client/v3/sync?filter=${filter}`);
    return rooms.join[road].unread_notifications.notification_count === 0;
  });
  done("unread messages are counted, and read ones are not");
}

/** Bob keeps the keys of his rooms on the server. The place for them is made by another client, as this one makes none. */
async function keepKeys(bob) {
  const other = await Device.logIn(url, bob.userId, "elsewhere");
  await other.crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: byPassword(bob.userId) });
  const key = await other.keepSecrets();
  await other.leave();
  await bob.typesKey(key);
  await bob.page.getByText("All keys are backed up").waitFor();
  const { count } = await get(bob.token, "/_matrix/client/v3/room_keys/version");
  ensure(count > 0, "keys are in the backup");
  done("a backup of keys that another client made");
  return key;
}

/**
 * Bob comes back on a new device, which cannot read what was said before until it has the keys out of the backup, and
 * is heard. Whether it hears what is said next is left to other clients: this one gives a new device its next session
 * only, a hundred messages later.
 */
async function move(alice, bob, key) {
  const before = (await bob.session()).deviceId;
  await bob.logOut();
  await bob.logIn();
  ensure((await bob.session()).deviceId !== before, "a login makes a device of its own");
  await bob.opens("A quiet room");
  await bob.hears("The sender hasn't sent us the key");
  await bob.says(NEWS);
  await alice.hears(NEWS);
  ensure(!(await bob.message(HALLO).isVisible()), "the new device cannot read what was said before it came");
  done("a new device is heard");
  await bob.typesKey(key);
  await bob.opens("A quiet room");
  for (const said of [HALLO, ANSWER]) await bob.hears(said);
  done("and reads what was said before, by the keys out of the backup");
}

async function leave(...people) {
  for (const each of people) {
    await each.logOut();
    each.check();
  }
  done("everybody has logged out");
}

async function full() {
  const [alice, bob] = await arrive();
  const road = await makePast(alice, bob);
  await enter(alice, bob);
  await readPast(alice, bob);
  const room = await meetInQuiet(alice, bob);
  await talk(alice, bob, room);
  await relate(alice, bob);
  await sharePicture(alice, bob);
  for (const each of [alice, bob]) await each.picture("talk");
  await count(alice, bob, road);
  const key = await keepKeys(bob);
  await move(alice, bob, key);
  await bob.picture("moved");
  await leave(alice, bob);
}

async function smoke() {
  const [alice, bob] = await arrive();
  await enter(alice, bob);
  const room = await meetInQuiet(alice, bob);
  await talk(alice, bob, room);
  await leave(alice, bob);
}

const [extent, address] = process.argv.slice(2);
const url = address.replace(/\/$/, "");
site = await openSite();
browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
try {
  await { full, smoke }[extent]();
} catch (error) {
  for (const each of everybody) await each.picture("trouble").catch(() => {});
  process.stderr.write(`${error.stack ?? error}\n`);
  process.exitCode = 1;
} finally {
  await browser.close();
  site.close();
}
// The other client would go on for minutes by its clocks, though it has logged out.
process.exit();
