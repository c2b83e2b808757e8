// Ann has no mouse: she comes in, looks around and leaves with Tab, Enter and Escape.
import { ensure, Person, story } from "./lib.mjs";

/** Of contrast, for text of this size (WCAG 2.2, 1.4.3). */
const LEAST_CONTRAST = 4.5;
const MOST_TABS = 40;
/** What can be worked, as the tree of accessibility calls it. */
const WORKS = new Set(["button", "textbox", "link", "combobox", "radio", "checkbox", "spinbutton", "slider"]);

let ann = null;
/** So many texts were found on a ground that is known. */
let texts = 0;

/** Goes on by Tab until what has the focus is called so; every stop on the way shows where it is. */
async function tabTo(name) {
  for (let tabs = 0; tabs < MOST_TABS; tabs += 1) {
    await ann.page.keyboard.press("Tab");
    const at = await focused();
    ensure(at === null || at.ring, `nothing shows that ${at?.name} has the focus`);
    if (at?.name === name) return;
  }
  throw new Error(`Tab never came to ${name}`);
}

/** What has the focus, what it is called, and whether that is seen. */
function focused() {
  return ann.page.evaluate(() => {
    const at = document.activeElement;
    if (!at || at === document.body) return null;
    const name = at.getAttribute("aria-label") ?? at.labels?.[0]?.textContent ?? at.innerText ?? "";
    // A choice among several is shown by what it says, and so is a file.
    const shown = at.matches("[type=radio], [type=file]") ? at.nextElementSibling : at;
    const { outlineStyle, outlineWidth } = getComputedStyle(shown);
    const ring = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
    return { name: name.split("\n")[0].trim(), ring };
  });
}

/** Everything that can be worked has a name for who does not see it. */
async function named(where) {
  const devtools = await ann.page.context().newCDPSession(ann.page);
  const { nodes } = await devtools.send("Accessibility.getFullAXTree");
  const works = nodes.filter(({ ignored, role }) => !ignored && WORKS.has(role?.value));
  const without = works.filter(({ name }) => !name?.value?.trim());
  ensure(works.length > 0 && without.length === 0, { where, without });
  await devtools.detach();
}

/** The contrast of every text that is shown to what is painted behind it, where that is known. */
async function legible(where) {
  const faint = await ann.page.evaluate((least) => {
    const parse = (colour) => {
      const [red, green, blue, alpha = 1] = colour.match(/[\d.]+/g).map(Number);
      return { rgb: [red, green, blue], alpha };
    };
    const over = (top, below) => top.rgb.map((part, index) => part * top.alpha + below[index] * (1 - top.alpha));
    const luminance = (rgb) => {
      const [red, green, blue] = rgb.map((part) => {
        const share = part / 255;
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const contrast = (one, other) => {
      const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
      return (high + 0.05) / (low + 0.05);
    };
    /** Layers from the text down to the first that lets next to nothing through; null over a picture. */
    const behind = (element) => {
      const layers = [];
      for (let at = element; at !== document.body; at = at.parentElement) {
        const { backgroundColor, backgroundImage } = getComputedStyle(at);
        const stops = backgroundImage.match(/rgba?\([^)]*\)/g);
        if (backgroundImage !== "none" && !stops) return null;
        const layer = parse(stops?.[0] ?? backgroundColor);
        if (layer.alpha > 0) layers.push(layer);
        if (layer.alpha >= 0.9) return layers;
      }
      return null;
    };
    const found = [];
    let judged = 0;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode.textContent.trim();
      const element = walker.currentNode.parentElement;
      if (text === "" || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
      const layers = behind(element);
      if (!layers) continue;
      // What is not quite opaque may have the lightest or the darkest behind it.
      const each = [[0, 0, 0], [255, 255, 255]].map((deepest) => {
        const ground = layers.reduceRight((below, layer) => over(layer, below), deepest);
        return contrast(over(parse(getComputedStyle(element).color), ground), ground);
      });
      judged += 1;
      const worst = Math.min(...each);
      if (worst < least) found.push({ text, contrast: worst.toFixed(2) });
    }
    return { judged, found };
  }, LEAST_CONTRAST);
  ensure(faint.found.length === 0, { where, ...faint });
  return faint.judged;
}

async function judged(where) {
  await named(where);
  texts += await legible(where);
}

async function enter({ home }) {
  ann = await Person.open("Ann");
  await ann.page.goto(home);
  await ann.sees(".welcome-card");
  await judged("the first page");
  // The name has the focus from the start.
  ensure((await focused())?.ring, "the first field shows no focus");
  await ann.page.keyboard.type("Ann");
  await tabTo("Walk in");
  await ann.picture("keyboard-1-welcome");
  await ann.page.keyboard.press("Enter");
  await ann.walking();
  await judged("the world");
}

/** In the world: says something, opens the list and the settings, and closes each. */
async function around() {
  const { keyboard } = ann.page;
  await keyboard.press("Enter");
  await keyboard.type("no mouse here");
  await keyboard.press("Enter");
  await ann.hears("no mouse here");
  await keyboard.press("Escape");
  await tabTo("Plaza");
  await ann.picture("keyboard-2-focus");
  await keyboard.press("Enter");
  await ann.sees(".here-list");
  await judged("the list of who is here");
  await keyboard.press("Escape");
  await ann.sees(".here-list", "hidden");
  for (const [button, dialog] of [["Settings", "Settings"], ["Your look", "Your look"]]) {
    await tabTo(button);
    await keyboard.press("Enter");
    await ann.page.getByRole("dialog", { name: dialog }).waitFor();
    await judged(`the dialog ${dialog}`);
    await tabTo("Done");
    await keyboard.press("Escape");
    await ann.sees("dialog", "detached");
  }
  await tabTo("Wave");
  await keyboard.press("Enter");
  await ann.until("herself waving", (now) => now.me.emote === "wave");
}

async function leave() {
  await tabTo("Other worlds");
  await ann.page.keyboard.press("Enter");
  await ann.sees(".worlds-grid");
  await judged("the list of worlds");
  await tabTo("Plaza");
  await ann.picture("keyboard-3-worlds");
}

/** Who lives here makes a world: its page, too, is worked by keys. */
async function member({ home, user, password }) {
  await ann.leave();
  ann = await Person.open("Ann");
  const { keyboard } = ann.page;
  await ann.page.goto(home);
  await ann.sees(".welcome-card");
  await tabTo("I have an account");
  await keyboard.press("Enter");
  await ann.sees("input[name=password]");
  await judged("the page to sign in");
  await keyboard.type(user);
  await keyboard.press("Tab");
  await keyboard.type(password);
  await keyboard.press("Enter");
  await ann.sees(".worlds-grid");
  await tabTo("Make a world");
  await keyboard.press("Enter");
  await ann.sees(".easel");
  await judged("the page that makes a world");
  await tabTo("Choose a GLB file");
  await ann.picture("keyboard-4-create");
  await tabTo("Make this world");
  return texts;
}

await story({ enter, around, leave, member });
