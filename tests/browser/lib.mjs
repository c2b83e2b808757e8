// Real browsers for the stories: people on pages, and the steps that a story asks of them.
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";

/** Packages lie outside of the checkout, where setup has put them. */
export const packages = createRequire(join(process.env.WAYSIDE_BROWSER, "package.json"));
const { chromium } = packages("playwright-core");

const CHROMIUM = process.env.WAYSIDE_CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--enable-unsafe-swiftshader",
  "--use-angle=swiftshader",
  "--ignore-gpu-blocklist",
];
/** Small, so that a processor draws two pages at once and still moves bodies. */
const WINDOW = { width: 800, height: 500 };
/** For one thing to happen, on a machine that does others. */
const SOON_MS = 60_000;
/** For a world to be loaded and drawn for the first time. */
const ENTRY_MS = 90_000;
const LOOK_MS = 60;
/** What a pixel of a drag turns the view by, as the client has it. */
const RADIANS_PER_PX = 0.0042;
const LONGEST_DRAG_PX = 260;
/** Somebody who walks looks whether they are on their way after so many metres, and so many times. */
const COURSE_M = 0.8;
const LONGEST_WAY = 60;

let browser = null;
/** The text of the program that looks for hindrances. */
let axe = null;
const everybody = [];

/** Somebody on a page of their own, who keeps nothing from any other. */
export class Person {
  #troubles = [];
  #browser = null;

  static async open(name, options = {}) {
    browser ??= await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    const context = await browser.newContext({ viewport: WINDOW, locale: "en-GB", ...options });
    const person = new Person(name, await context.newPage());
    everybody.push(person);
    return person;
  }

  /** Somebody whose browser is their own and remembers: in a borrowed one, nothing can be installed. */
  static async settle(name, { flags = [], ...options } = {}) {
    const launched = { executablePath: CHROMIUM, args: [...FLAGS, ...flags], viewport: WINDOW, locale: "en-GB", ...options };
    const context = await chromium.launchPersistentContext("", launched);
    const person = new Person(name, context.pages()[0] ?? (await context.newPage()));
    everybody.push(person);
    return person;
  }

  /** The same person in another tab of their browser. */
  async tab(name) {
    const other = new Person(name, await this.page.context().newPage());
    everybody.push(other);
    return other;
  }

  constructor(name, page) {
    this.name = name;
    this.#sit(page);
  }

  /** Closes the page; what the browser remembers stays. */
  async close() {
    await this.check();
    this.#browser = this.page.context();
    await this.page.close();
  }

  /** Opens another page in the same browser. */
  async reopen(url) {
    this.#sit(await this.#browser.newPage());
    await this.page.goto(url);
  }

  #sit(page) {
    const { name } = this;
    this.page = page;
    page.setDefaultTimeout(SOON_MS);
    page.on("pageerror", (error) => this.#troubles.push(error.stack || String(error)));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") {
        process.stderr.write(`${name} [${message.type()}] ${message.text()}\n`);
      }
    });
  }

  /** What the page says that it is doing. */
  state() {
    return this.page.evaluate(() => window.wayside.state());
  }

  /** Waits until something is true of what the page says, and returns what it said then. */
  async until(what, holds, limit = SOON_MS) {
    // The page allows no code that is made from text, so the question is asked from here; a page
    // that was busy for all of the time is asked once more.
    for (const begun = Date.now(); ; await pause(LOOK_MS)) {
      const isLast = Date.now() - begun > limit;
      const now = await this.page.evaluate(() => window.wayside?.state());
      if (now && holds(now)) return now;
      if (!isLast) continue;
      await this.picture("trouble").catch(() => {});
      throw new Error(`${this.name} never saw ${what}: ${JSON.stringify({ ...now, seats: undefined })}`);
    }
  }

  /** Waits until a function that runs on the page finds what it looks for, and returns that. */
  async finds(what, look, asked = null, limit = SOON_MS) {
    for (const begun = Date.now(); ; await pause(LOOK_MS)) {
      const isLast = Date.now() - begun > limit;
      const found = await this.page.evaluate(look, asked);
      if (found) return found;
      if (!isLast) continue;
      await this.picture("trouble").catch(() => {});
      throw new Error(`${this.name} never found ${what}`);
    }
  }

  walking() {
    return this.until("the world", (now) => now.phase === "walking" && now.me.avatar !== null, ENTRY_MS);
  }

  async enterAsGuest(url) {
    await this.page.goto(url);
    await this.page.getByLabel("Your name").fill(this.name);
    await this.press("Walk in");
    return this.walking();
  }

  async enterAsMember(url, user, password) {
    await this.signIn(url, user, password);
    return this.walking();
  }

  /** Where that leads to is up to the address: a world, or else the list of all. */
  async signIn(url, user, password) {
    await this.page.goto(url);
    await this.press("I have an account");
    await this.page.locator("input[name=username]").fill(user);
    await this.page.locator("input[name=password]").fill(password);
    await this.press("Sign in");
  }

  /** Presses a button by its name, with the keyboard: a pointer would wait until nothing moves. */
  press(name, within = this.page) {
    return within.getByRole("button", { name, exact: true }).press("Enter");
  }

  /** Waits until something of the page is shown, or hidden again. */
  async sees(selector, state = "visible") {
    const place = this.page.locator(selector).first();
    try {
      await place.waitFor({ state });
    } catch (error) {
      await this.picture("trouble").catch(() => {});
      throw new Error(`${this.name} never saw ${selector} ${state}: ${error.message}`);
    }
    return place;
  }

  /** Keeps a key down until something holds. */
  async hold(key, what, holds) {
    await this.page.keyboard.down(key);
    try {
      return await this.until(what, holds);
    } finally {
      await this.page.keyboard.up(key);
    }
  }

  /** Walks straight to a place, correcting the course on the way, until within a distance of it. */
  async walkTo(place, near) {
    await this.page.keyboard.down("w");
    try {
      for (let course = 0; course < LONGEST_WAY; course += 1) {
        const { me } = await this.state();
        if (distance(me, place) < near) return;
        await this.turn(shortest(Math.atan2(place.x - me.x, place.z - me.z) - me.yaw));
        // A body turns as it walks: only then is it known which way it goes.
        const gone = (now) => distance(now.me, me) > COURSE_M || distance(now.me, place) < near;
        await this.until(`a way to ${place.x}, ${place.z}`, gone);
      }
      throw new Error(`${this.name} does not find the way to ${place.x}, ${place.z}`);
    } finally {
      await this.page.keyboard.up("w");
    }
  }

  /** Turns the view to the left by dragging over the world. */
  async turn(radians) {
    const { mouse } = this.page;
    const [middle, height] = [WINDOW.width / 2, WINDOW.height / 2];
    for (let left = -radians / RADIANS_PER_PX; Math.abs(left) > 1; ) {
      const step = Math.max(-LONGEST_DRAG_PX, Math.min(LONGEST_DRAG_PX, left));
      await mouse.move(middle - step / 2, height);
      await mouse.down();
      await mouse.move(middle + step / 2, height);
      await mouse.up();
      left -= step;
    }
  }

  standsStill() {
    return this.until("itself at rest", (now) => now.me.speed === 0 && now.me.motion === 0);
  }

  async say(text) {
    await this.page.keyboard.press("Enter");
    await this.page.getByRole("textbox", { name: "Say something" }).fill(text);
    await this.page.keyboard.press("Enter");
    await this.page.keyboard.press("Escape");
  }

  hears(text) {
    return this.until(`the line ${text}`, (now) => now.chat.some((line) => line.body === text));
  }

  async nothingHinders() {
    const found = await this.hindrances();
    ensure(found.length === 0, found.join("\n"));
  }

  /** Everything on the page that keeps somebody from using it, as far as a machine can tell. */
  async hindrances() {
    await this.#settled();
    if (!(await this.page.evaluate(() => "axe" in window))) {
      // The page runs no code from elsewhere; whoever has its tools may all the same.
      axe ??= await readFile(packages.resolve("axe-core/axe.min.js"), "utf8");
      const wire = await this.page.context().newCDPSession(this.page);
      await wire.send("Runtime.evaluate", { expression: axe });
      await wire.detach();
    }
    return this.page.evaluate(async (tags) => {
      const { violations } = await window.axe.run(document, { runOnly: tags, resultTypes: ["violations"] });
      const found = violations.flatMap(({ id, nodes }) =>
        nodes.map(({ target, failureSummary }) => `${id}: ${target.join(" ")}: ${failureSummary.replace(/\s+/g, " ")}`),
      );
      const boxes = [];
      // A dialog is before all else.
      const top = document.querySelector("dialog[open]") ?? document.body;
      const shown = [...top.querySelectorAll("*")].filter((it) => it.checkVisibility({ opacityProperty: true, visibilityProperty: true }));
      // Of what is scrolled, only what is to be seen counts.
      const seen = (element) => {
        let { left, right, top: above, bottom } = element.getBoundingClientRect();
        for (let it = element.parentElement; it; it = it.parentElement) {
          if (getComputedStyle(it).overflowY === "visible") continue;
          const edge = it.getBoundingClientRect();
          [left, right] = [Math.max(left, edge.left), Math.min(right, edge.right)];
          [above, bottom] = [Math.max(above, edge.top), Math.min(bottom, edge.bottom)];
        }
        return { element, left, right, top: above, bottom };
      };
      const says = (it) => `${it.tagName.toLowerCase()}.${it.className} "${(it.innerText ?? "").slice(0, 40)}"`;
      for (const element of shown.filter((it) => it.matches("button, a, input, select, textarea, h1, h2, h3, h4, p, li, b, .brand, .dialog-body, .welcome, .worlds, .create"))) {
        const box = element.getBoundingClientRect();
        const { left, right, width, height } = box;
        const style = getComputedStyle(element);
        // What only a reader of the screen is told is a dot in size.
        if (width <= 1 || height <= 1 || style.clipPath !== "none") continue;
        if (left < -1 || right > innerWidth + 1) found.push(`beyond the edge: ${says(element)}`);
        // What lies over a world is looked at where nothing is to lie over anything.
        if (element.matches("button, a, input, select, textarea, h1, h2, .brand") && !element.closest(".hud")) boxes.push(seen(element));
        const isCut = element.scrollWidth > element.clientWidth + 1 && style.overflowX !== "visible" && style.textOverflow !== "ellipsis";
        if (isCut && !element.matches("input, textarea, select")) found.push(`cut off: ${says(element)}`);
        if (!element.matches("button, a, h1, h2")) continue;
        for (const text of [...element.childNodes].filter(({ nodeType }) => nodeType === Node.TEXT_NODE)) {
          const range = document.createRange();
          range.selectNodeContents(text);
          const words = range.getBoundingClientRect();
          if (words.left < left - 1 || words.right > right + 1) found.push(`too wide: ${says(element)}`);
        }
      }
      boxes.forEach((one, place) => {
        for (const other of boxes.slice(place + 1)) {
          if (one.element.contains(other.element) || other.element.contains(one.element)) continue;
          const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
          const high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
          if (wide > 1 && high > 1) found.push(`lies over another: ${says(one.element)}, ${says(other.element)}`);
        }
      });
      return found;
    }, ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]);
  }

  /** What comes in softly is in: its first moment shows nothing. */
  #settled(page = this.page) {
    return page.evaluate(() => {
      const ends = (it) => it.effect?.getComputedTiming().iterations !== Infinity;
      return Promise.all(document.getAnimations().filter(ends).map((it) => it.finished.catch(() => {})));
    });
  }

  /** Keeps a picture of the page for whoever looks at it. */
  async picture(name, page = this.page, kind = this.name) {
    const folder = process.env.WAYSIDE_SHOTS;
    if (!folder) return;
    await mkdir(folder, { recursive: true });
    await this.#settled(page);
    await page.screenshot({ path: join(folder, `${name}-${kind.toLowerCase()}.png`) });
  }

  /** Closes the page for good; fails if anything broke on it. */
  async leave() {
    await this.check();
    everybody.splice(everybody.indexOf(this), 1);
    await this.page.context().close();
  }

  /** Fails if anything broke on the page. */
  async check() {
    const { errors } = await this.state();
    const troubles = [...this.#troubles, ...errors];
    if (troubles.length > 0) throw new Error(`on the page of ${this.name}: ${troubles.join("\n")}`);
  }
}

export function shortest(angle) {
  return Math.atan2(Math.sin(angle), Math.cos(angle));
}

/** On the ground. */
export function distance(one, other) {
  return Math.hypot(one.x - other.x, one.z - other.z);
}

/** Fails with what was found. */
/** Gives a page a device that keeps passkeys and that nobody has to touch; speaks to the browser about it. */
export async function addAuthenticator(page) {
  const browser = await page.context().newCDPSession(page);
  await browser.send("WebAuthn.enable");
  const options = {
    protocol: "ctap2",
    transport: "internal",
    hasResidentKey: true,
    hasUserVerification: true,
    isUserVerified: true,
    automaticPresenceSimulation: true,
  };
  const { authenticatorId } = await browser.send("WebAuthn.addVirtualAuthenticator", { options });
  return { browser, authenticatorId };
}

/**
 * Somebody at home, where their identity is made while they look at the worlds. Nodes are reached by names that nobody
 * registers, at addresses that the story tells (`hosts`), with certificates that nobody knows.
 */
export async function atHome(name, { url, user, password, hosts = "MAP *.test 127.0.0.1" }) {
  const flags = [`--host-resolver-rules=${hosts}`, "--ignore-certificate-errors"];
  const person = await Person.settle(name, { flags, ignoreHTTPSErrors: true });
  await person.signIn(url, user, password);
  await person.sees(".worlds-head");
  const did = await person.finds("an identity", async () => {
    const { access_token: token } = JSON.parse(localStorage.getItem("wayside.session"));
    const answer = await fetch("/_wayside/v1/identity", { headers: { authorization: `Bearer ${token}` } });
    const { did, log } = await answer.json();
    return log ? did : null;
  });
  return { person, did };
}

/** Makes an account; a node may be asked elsewhere than where its pages are. */
export async function register({ url, api = url, user, password }) {
  const answer = await fetch(new URL("/_matrix/client/v3/register", api), {
    method: "POST",
    body: JSON.stringify({ auth: { type: "m.login.dummy" }, username: user, password }),
  });
  ensure(answer.ok, await answer.text());
}

/** Saves somebody's identity as a file, by the button of that name, and gives what is in it. */
export async function saveAsFile(person, button) {
  await person.press(button);
  await person.sees("dialog .word-list li");
  const text = await downloaded(person, "Download as a file");
  await person.press("I have saved the file");
  await person.page.locator("dialog").getByText("Your identity is saved.").waitFor();
  await person.press("Not now");
  await person.sees("dialog", "detached");
  return text;
}

/** What is in the file that a button has the browser keep. */
export async function downloaded(person, button) {
  const coming = person.page.waitForEvent("download");
  await person.press(button);
  return readFile(await (await coming).path(), "utf8");
}

/** The page on which somebody looks after their identity. */
export async function identityPage(person, url) {
  await person.page.goto(new URL("/account", url).href);
  return person.sees(".account-inside[data-identity]");
}

export function ensure(holds, what) {
  if (!holds) throw new Error(typeof what === "string" ? what : JSON.stringify(what));
}

/** What every open page shows, for whoever reads of a step that failed. */
async function shown() {
  const pages = everybody.flatMap(({ page }) => page.context().pages());
  const all = [...new Set(pages)].map(async (page) => {
    const text = await page.locator("body").innerText({ timeout: 1_000 }).catch(String);
    return `---- ${page.url()}\n${text.slice(0, 1_000)}`;
  });
  return (await Promise.all(all)).join("\n");
}

/** Does the steps that come as lines of JSON, each answered by a line, until there are no more. */
export async function story(steps) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { step, ...asked } = JSON.parse(line);
    let answer;
    try {
      answer = { done: (await steps[step](asked)) ?? null };
    } catch (error) {
      answer = { failed: `${error.stack ?? error}\n${await shown()}` };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  // Who has closed the page has looked at it before.
  for (const person of everybody.filter(({ page }) => !page.isClosed())) await person.check();
  for (const person of everybody) await person.page.context().close();
  await browser?.close();
}
