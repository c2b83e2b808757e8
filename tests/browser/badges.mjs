// Those who run a node give Ada, who lives elsewhere, a badge: she shows it, and comes in where it is asked for.
import { island } from "./island.mjs";
import { atHome, ensure, identityPage, story } from "./lib.mjs";

let [ada, root] = [null, null];

const walkIn = (who) => who.page.getByRole("button", { name: "Walk in", exact: true });

/** Both sign in at their homes. */
async function begin(asked) {
  ({ person: ada } = await atHome("Ada", asked.ada));
  ({ person: root } = await atHome("Root", asked.root));
}

/** Goes into a world from the page that says what it is, and tells what that says of whom it is for. */
async function enter({ who, url, asks }) {
  const person = who === "root" ? root : ada;
  await person.page.goto(url);
  await walkIn(person).waitFor();
  const told = asks ? await person.page.locator(".welcome-card .for").innerText() : null;
  if (asks) {
    await person.picture("badges-door");
    await person.nothingHinders();
  }
  await walkIn(person).press("Enter");
  await person.walking();
  return { told };
}

/** Is not let in, for she holds nothing of what is asked for. */
async function lacks({ url }) {
  await ada.page.goto(url);
  await walkIn(ada).press("Enter");
  const card = ada.page.locator(".closed-card");
  await card.locator(".primary").waitFor();
  await ada.picture("badges-closed");
  await ada.nothingHinders();
  return { text: await card.innerText() };
}

/** Is asked before the node sees what she shows to nobody, and says yes or no. */
async function asked({ url, yes }) {
  await ada.page.goto(url);
  await walkIn(ada).press("Enter");
  const dialog = ada.page.getByRole("dialog", { name: /wants to see$/ });
  await dialog.waitFor();
  const told = await dialog.innerText();
  const button = dialog.getByRole("button", { name: yes ? "Show it" : "Go without it", exact: true, disabled: false });
  await button.waitFor();
  await ada.picture("badges-asked");
  await ada.nothingHinders();
  await button.press("Enter");
  if (yes) {
    await ada.walking();
    return { told };
  }
  const card = ada.page.locator(".closed-card");
  await card.locator(".primary").waitFor();
  await ada.picture("badges-withheld");
  return { told, text: await card.innerText() };
}

/** Gives the other one a badge that is new, from the card of her in the list of who is here. */
async function give({ name, title, about }) {
  await root.page.locator(".here").press("Enter");
  await root.press(`More about ${name}`, root.page.locator("#here-list"));
  await root.press("Give a badge…");
  const dialog = root.page.getByRole("dialog", { name: `Give ${name} a badge` });
  await dialog.getByLabel("What is it called?").fill(title);
  await dialog.getByLabel("What is it for? (optional)").fill(about);
  await root.picture("badges-give");
  await root.nothingHinders();
  await root.press("Give it", dialog);
  await dialog.getByText(`${name} has “${title}” now.`).waitFor();
  await dialog.getByRole("button", { name: `Take back “${title}” from ${name}` }).waitFor();
  await root.picture("badges-gave");
  await root.nothingHinders();
  await root.page.keyboard.press("Escape");
}

/** Finds what she was given on the page of her account, and shows it to everybody. */
async function show({ url, title }) {
  await identityPage(ada, url);
  const one = ada.page.locator("[data-held]").filter({ hasText: title });
  await one.waitFor();
  await one.scrollIntoViewIfNeeded();
  await ada.picture("badges-given");
  await ada.nothingHinders();
  await ada.press(`Show it: ${title}`);
  const everybody = ada.page.getByRole("switch", { name: `Show it to everybody: ${title}` });
  await everybody.waitFor();
  ensure((await everybody.getAttribute("aria-checked")) === "true" || (await everybody.isChecked()), "it is not shown");
  await ada.picture("badges-shown");
  return { text: await one.innerText() };
}

/** What the list of who is here says of her badges. */
async function sees({ name, title }) {
  const seen = await root.until(`the badge ${title}`, ({ bodies }) => bodies.some((it) => (it.badges ?? []).some((badge) => badge.name === title)));
  const list = root.page.locator("#here-list");
  if (!(await list.isVisible())) await root.page.locator(".here").press("Enter");
  const pill = list.locator("li", { hasText: name }).locator(".pill");
  await pill.first().waitFor();
  await root.picture("badges-people");
  await root.nothingHinders();
  return { badges: seen.bodies.flatMap((it) => it.badges ?? []), says: await pill.first().getAttribute("title") };
}

/** Makes a world for those who hold a badge of her node. */
async function make({ url, name, badge }) {
  await root.page.goto(url);
  await root.press("Make a world");
  const file = { name: "five-houses.glb", mimeType: "model/gltf-binary", buffer: island() };
  await root.page.locator(".easel input[type=file]").setInputFiles(file);
  await root.sees(".create-under img");
  await root.page.getByLabel("Name").fill(name);
  await root.page.getByLabel("Who holds a badge of this node").check();
  await root.page.getByLabel("Which badge").selectOption({ label: badge });
  await root.page.getByLabel("Which badge").scrollIntoViewIfNeeded();
  await root.picture("badges-make");
  await root.nothingHinders();
  await root.press("Make this world");
  const { world } = await root.walking();
  return { room: world.room_id };
}

await story({ begin, enter, lacks, asked, give, show, sees, make });
