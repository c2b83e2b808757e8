// Ann makes a world of a file of hers, and Gus finds it in the list.
import { distance, ensure, Person, story } from "./lib.mjs";
import { island } from "./island.mjs";

const STEPS_M = 2;
const WORDS = { name: "Five Houses", about: "A little island with five houses. Bring a towel.", capacity: "12" };
const GLB = "model/gltf-binary";
const broken = () => island().subarray(0, 9000);
/** The page reads it, as it leaves out what it does not know; the node does not. */
const foreign = () => island({ extensionsUsed: ["EXT_weather"], extensionsRequired: ["EXT_weather"] });

let ann = null;
let gus = null;

const offer = (place, buffer) =>
  ann.page.locator(`${place} input[type=file]`).setInputFiles({ name: "five-houses.glb", mimeType: GLB, buffer });

/** Everything that Ann has typed, and the picture, as the page has it now. */
const typed = async () => ({
  name: await ann.page.getByLabel("Name").inputValue(),
  about: await ann.page.getByLabel("What is it like?").inputValue(),
  capacity: await ann.page.getByLabel("Most people at once").inputValue(),
  rating: await ann.page.getByLabel("For whom").inputValue(),
  picture: await ann.page.locator(".create-under img").getAttribute("src"),
});

/** Ann chooses her file, looks at it from another side, and says what it is. */
async function prepare({ home, user, password }) {
  ann = await Person.open("Ann");
  await ann.signIn(home, user, password);
  await ann.press("Make a world");
  await ann.sees(".easel");
  await ann.picture("create-1-empty");
  await ann.press("Make this world");
  ensure(await ann.page.getByLabel("Name").evaluate((field) => field.matches(":invalid")), "a name may be missing");
  await offer(".easel", island());
  await ann.sees(".create-under img");
  const first = await typed();
  ensure(first.name === "Five houses", first);
  await ann.page.getByLabel("Name").fill(WORDS.name);
  await ann.page.getByLabel("What is it like?").fill(WORDS.about);
  await ann.page.getByLabel("Most people at once").fill(WORDS.capacity);
  await ann.page.getByLabel("For whom").selectOption("teen");
  await ann.page.locator(".easel canvas").press("ArrowLeft");
  await ann.press("Take the picture anew");
  await ann.sees(`.create-under img:not([src="${first.picture}"])`);
  await ann.picture("create-2-chosen");
}

/** Offers what is no scene to the page, and one that only the node refuses; nothing typed is lost. */
async function refuse() {
  const before = await typed();
  await offer(".create-under", broken());
  const here = await (await ann.sees(".report")).innerText();
  ensure(here.startsWith("This file cannot be read as a scene."), here);
  ensure(here.includes("The world stays with five-houses.glb."), here);
  await ann.picture("create-3-broken");
  const kept = await typed();
  ensure(JSON.stringify(kept) === JSON.stringify(before), { before, kept });

  await offer(".create-under", foreign());
  await ann.sees(".report", "detached");
  await ann.sees(`.create-under img:not([src="${before.picture}"])`);
  await ann.press("Make this world");
  const there = await (await ann.sees(".report")).innerText();
  ensure(there.startsWith("The node refused this scene:") && there.includes("EXT_weather"), there);
  await ann.picture("create-4-refused");
  const after = await typed();
  ensure(JSON.stringify({ ...after, picture: before.picture }) === JSON.stringify(before), { before, after });
  return { here, there };
}

async function make() {
  // At once: what was chosen last is made, though it is still being read.
  await offer(".create-under", island());
  await ann.press("Make this world");
  const { me, world } = await ann.walking();
  ensure(world.name === WORDS.name && world.capacity === Number(WORDS.capacity) && world.rating === "teen", world);
  await ann.picture("create-5-inside");
  await ann.hold("w", "some steps", (now) => distance(now.me, me) > STEPS_M);
  return world.room_id;
}

/** Gus sees the card of the world: its picture, its words, and that Ann is there. */
async function find({ home, user, password, room }) {
  gus = await Person.open("Gus");
  await gus.signIn(home, user, password);
  const card = await gus.sees(`[data-world="${room}"]`);
  const words = await card.innerText();
  for (const part of [WORDS.name, WORDS.about, "ann is there", "For teens and older"]) {
    ensure(words.includes(part), `${part} is not on the card: ${words}`);
  }
  const drawn = (image) => image.decode().then(() => [image.naturalWidth, image.naturalHeight]);
  const size = await card.locator("img").evaluate(drawn);
  ensure(size[0] === 1280 && size[1] === 720, size);
  await card.locator("img").evaluate(() => Promise.all(document.getAnimations().map((one) => one.finished)));
  await gus.picture("create-6-listed");
  await card.press("Enter");
  await gus.walking();
  for (const one of [ann, gus]) {
    await one.until("the other", ({ bodies }) => bodies.length === 1 && bodies[0].avatar !== null);
  }
  await gus.picture("create-7-inside");
}

await story({ prepare, refuse, make, find });
