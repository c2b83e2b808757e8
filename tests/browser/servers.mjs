// Whoever runs the node looks at how it goes with other servers, and has one tried again.
import { ensure, Person, story } from "./lib.mjs";

let root = null;

async function look(who, name) {
  const found = await who.hindrances();
  await who.picture(`servers-${name}`);
  ensure(found.length === 0, `${name}: ${found.join("\n")}`);
}

async function signIn(who, user, password, home) {
  await who.page.goto(new URL("/account", home).href);
  await who.sees("input[name=username]");
  await who.page.locator("input[name=username]").fill(user);
  await who.page.locator("input[name=password]").fill(password);
  await who.page.locator("input[name=password]").press("Enter");
  await who.page.getByRole("heading", { name: "Devices", exact: true }).waitFor();
}

const servers = (who) => who.page.getByRole("heading", { name: "Other servers", exact: true });

/** It says which server does not answer, since when and why, and what waits for it. */
async function arrive({ home, password, server }) {
  root = await Person.open("Root", { viewport: { width: 1280, height: 800 } });
  await signIn(root, "root", password, home);
  await servers(root).waitFor();
  const row = root.page.locator(".device-list li").filter({ hasText: server });
  await row.getByText("Has not answered").waitFor();
  await row.getByText("Next try:").waitFor();
  await row.getByText("Why:").waitFor();
  await row.getByText("Events that wait for it:").waitFor();
  await row.getByText("Messages to devices and changed keys that wait for it:").waitFor();
  await servers(root).scrollIntoViewIfNeeded();
  await look(root, "failing");
}

/** The server is back, and is tried at once. */
async function again({ server }) {
  await root.page.getByRole("button", { name: `Try now: ${server}` }).click();
  await root.page.getByText(`${server} is tried now.`).waitFor();
  const row = root.page.locator(".device-list li").filter({ hasText: server });
  for (;;) {
    const text = await row.innerText();
    if (text.includes("Last answered") && !text.includes("Has not answered") && !text.includes("that wait")) break;
    await root.page.getByRole("button", { name: "Look again" }).click();
  }
  await look(root, "answering");
  await root.leave();
}

/** Who does not run the node sees nothing of it. */
async function member({ home, password }) {
  const ann = await Person.open("Ann", { viewport: { width: 390, height: 844 } });
  const asked = ann.page.waitForResponse((it) => new URL(it.url()).pathname === "/_wayside/v1/account");
  await signIn(ann, "ann", password, home);
  await ann.page.getByRole("heading", { name: "End your account", exact: true }).waitFor();
  // The page knows who she is, and has drawn what follows from it.
  await (await asked).finished();
  await ann.page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  ensure((await servers(ann).count()) === 0, "a member sees how it goes with servers");
  await ann.leave();
}

await story({ arrive, again, member });
