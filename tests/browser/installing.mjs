// Ann's browser installs the page, and shows it while the node is away.
import { ensure, Person, story } from "./lib.mjs";

let ann = null;

/** What the browser itself says of the page, as something to install. */
async function install({ home }) {
  ann = await Person.settle("Ann");
  await ann.page.goto(home);
  await ann.sees(".welcome-card");
  const worker = await ann.page.evaluate(async () => {
    const { active, scope } = await navigator.serviceWorker.ready;
    return { state: active.state, script: active.scriptURL, scope };
  });
  ensure(worker.script.endsWith("/service-worker.js") && worker.scope === home, worker);
  const devtools = await ann.page.context().newCDPSession(ann.page);
  const manifest = await devtools.send("Page.getAppManifest");
  ensure(manifest.url.endsWith("/manifest.webmanifest") && manifest.errors.length === 0, manifest);
  const { installabilityErrors } = await devtools.send("Page.getInstallabilityErrors");
  ensure(installabilityErrors.length === 0, installabilityErrors);
  return JSON.parse(manifest.data);
}

/** Loads a picture as the page may, and returns its size and how opaque its corners are. */
const looked = (src) =>
  ann.page.evaluate(async (url) => {
    const image = new Image();
    image.src = url;
    await image.decode();
    const { naturalWidth: width, naturalHeight: height } = image;
    const canvas = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    canvas.drawImage(image, 0, 0);
    const corners = [[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]];
    const opaque = corners.map(([x, y]) => canvas.getImageData(x, y, 1, 1).data[3]);
    return { width, height, opaque };
  }, src);

/** An icon that may be cut to any shape fills its square; one that is shown as it is has round corners. */
async function icons({ icons: all }) {
  for (const purpose of ["any", "maskable"]) {
    ensure(all.some((icon) => icon.purpose === purpose), `no icon is for the purpose "${purpose}"`);
  }
  for (const { src, sizes, purpose } of all) {
    const found = await looked(src);
    const side = sizes === "any" ? found.width : Number(sizes.split("x")[0]);
    ensure(found.width === side && found.height === side, { src, sizes, found });
    const wanted = purpose === "maskable" ? 255 : 0;
    ensure(found.opaque.every((alpha) => alpha === wanted), { src, purpose, found });
  }
}

/** The node is away: reloading gives the page, in its own words. */
async function away() {
  await ann.page.reload();
  const card = await ann.sees("main.welcome-card");
  const words = await card.innerText();
  ensure(words.includes("The node cannot be reached") && words.includes("Try again"), words);
  for (const picture of [".brand img", ".scenery"]) {
    await ann.page.locator(picture).evaluate((image) => image.decode());
  }
  await ann.picture("install-away");
}

async function back() {
  await ann.press("Try again");
  await ann.page.getByLabel("Your name").waitFor();
  // What had gone wrong is no trouble of the page that comes now.
  await ann.page.reload();
  await ann.page.getByLabel("Your name").waitFor();
  await ann.leave();
}

await story({ install, icons, away, back });
