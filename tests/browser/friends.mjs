// Ada and Bob, who live on two nodes, become friends; she follows him into a world, until he blocks her.
import { atHome, ensure, story } from "./lib.mjs";

let ada = null;
let bob = null;

const friend = (now, userId) => now.friends?.list.find((one) => one.userId === userId);

/** Each signs in at their home. */
async function homes(asked) {
  ({ person: ada } = await atHome("Ada", asked.ada));
  ({ person: bob } = await atHome("Bob", asked.bob));
}

/** Ada asks Bob by his address. */
async function ask({ address, words }) {
  await ada.page.locator(".worlds-friends").press("Enter");
  await ada.picture("friends-none");
  await ada.nothingHinders();
  await ada.press("Add a friend");
  await ada.page.getByLabel("Whom do you want to ask?").fill(address);
  await ada.page.getByLabel("A few words to go with it").fill(words);
  await ada.picture("friends-asking");
  await ada.nothingHinders();
  await ada.press("Ask to be friends", ada.page.locator("dialog"));
  await ada.until("that Bob is asked", (now) => friend(now, address)?.standing === "asked");
}

/** Bob sees who asks, and accepts. */
async function accept({ from, words }) {
  await bob.until("who asks", (now) => now.friends?.requests === 1);
  await bob.page.locator(".worlds-friends").press("Enter");
  const told = await (await bob.sees(".friends-asking .friend-message")).innerText();
  ensure(told === words, told);
  await bob.picture("friends-asked");
  await bob.nothingHinders();
  await bob.page.locator(`[data-key="accept ${from}"]`).press("Enter");
  await bob.until("a friend", (now) => friend(now, from)?.standing === "friend");
  await bob.picture("friends-accepted");
}

/** Bob walks into a world of his node; Ada sees it and follows him there. */
async function follow({ url, user, world }) {
  await ada.until("a friend", (now) => friend(now, user)?.standing === "friend");
  await bob.page.goto(url);
  await bob.page.getByRole("button", { name: "Walk in", exact: true }).press("Enter");
  await bob.walking();
  await ada.until("where Bob is", (now) => friend(now, user)?.place === world);
  await ada.picture("friends-where");
  await ada.nothingHinders();
  await ada.page.locator(`[data-key="join ${user}"]`).press("Enter");
  await ada.sees("dialog .away");
  await ada.press("Walk in", ada.page.locator("dialog"));
  await ada.walking();
  await ada.until("Bob", (now) => now.bodies.length === 1);
  await bob.until("Ada", (now) => now.bodies.length === 1);
  await ada.picture("friends-together");
  const now = await ada.state();
  return { world: now.world.name, node: now.node };
}

/** Bob blocks Ada in the world: neither sees the other any more. */
async function block({ whom }) {
  await bob.page.locator(".here").press("Enter");
  await bob.press("More about ada", bob.page.locator("#here-list"));
  await bob.page.locator(`[data-key="ask-block ${whom}"]`).press("Enter");
  await bob.picture("friends-block");
  await bob.nothingHinders();
  await bob.page.locator(`[data-key="block ${whom}"]`).press("Enter");
  await bob.until("nobody", (now) => now.bodies.length === 0);
  await ada.until("nobody", (now) => now.bodies.length === 0);
  await ada.until("no friend", (now) => now.friends?.list.length === 0);
  const { blocked } = (await bob.state()).friends;
  return { blocked };
}

await story({ homes, ask, accept, follow, block });
