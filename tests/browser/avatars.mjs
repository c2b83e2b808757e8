// Ann brings bodies of her own, and Gus sees them.
import { ensure, Person, story } from "./lib.mjs";

let ann = null;
let gus = null;

async function arrive({ world, link, user, password }) {
  ann = await Person.open("Ann");
  await ann.enterAsMember(world, user, password);
  gus = await Person.open("Gus");
  await gus.enterAsGuest(link);
}

async function bring(file) {
  await ann.press("Your look");
  const input = await ann.sees("dialog input[type=file]", "attached");
  await input.setInputFiles(file);
}

async function close() {
  await ann.page.keyboard.press("Escape");
  await ann.sees("dialog", "detached");
}

/** Brings a file, and returns where it is once both see it. */
async function wear({ file, name, before }) {
  await bring(file);
  const verdict = await (await ann.sees("dialog .report > p")).textContent();
  ensure(verdict.startsWith("You are wearing it now."), verdict);
  await ann.sees("dialog .worn");
  await ann.picture(`${name}-chosen`);
  await close();
  const fresh = (url) => url !== null && url.includes("/assets/") && url !== before;
  const own = await ann.until("her new body", ({ me }) => fresh(me.avatar) && !me.isFallback);
  const url = own.me.avatar;
  await gus.until("Ann's new body", ({ bodies }) => bodies.some((body) => body.avatar === url && !body.isFallback));
  await Promise.all([ann.picture(`${name}-worn`), gus.picture(`${name}-worn`)]);
  return url;
}

/** Brings a file that cannot be worn, and returns what Ann is told. */
async function refuse({ file, name }) {
  const before = (await ann.state()).me.avatar;
  await bring(file);
  const told = await (await ann.sees("dialog .report")).innerText();
  await ann.picture(`${name}-refused`);
  await close();
  const { me } = await ann.state();
  ensure(me.avatar === before, me);
  const { bodies } = await gus.state();
  ensure(bodies.some((body) => body.avatar === before && !body.isFallback), bodies);
  return told;
}

await story({ arrive, wear, refuse });
