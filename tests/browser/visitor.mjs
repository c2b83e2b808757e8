// Ada has her keys at home, and comes in at other nodes by them: the page of her home asks her, and sends her back.
import { atHome, ensure, story } from "./lib.mjs";

let ada = null;
let homePage = null;

const who = () => ada.page.evaluate(() => JSON.parse(localStorage.getItem("wayside.session"))?.user_id ?? null);

/** Signs in at her home. */
async function home(asked) {
  const { person, did } = await atHome("Ada", asked);
  ada = person;
  homePage = asked.url;
  return { did };
}

/** Opens the way in of a node, signed out of whatever account was here. */
async function open(url) {
  await ada.page.goto(url);
  const out = ada.page.getByRole("button", { name: "Sign out", exact: true });
  const welcome = ada.page.locator(".welcome-card");
  await out.or(welcome).first().waitFor();
  if (await out.isVisible()) {
    await out.press("Enter");
    // Whoever would lose an identity of that node by it is asked.
    const anyway = ada.page.locator("dialog .danger");
    await welcome.or(anyway).first().waitFor();
    if (await anyway.isVisible()) await anyway.press("Enter");
    await welcome.waitFor();
  }
  const mine = ada.page.getByRole("button", { name: "I have an account", exact: true });
  await mine.or(ada.page.locator("input[name=username]")).first().waitFor();
  if (await mine.isVisible()) await mine.press("Enter");
  await ada.sees(".by-home button");
}

/** Is on the page of her home that asks her; what it says of who asks is the address. */
async function asked(url) {
  await ada.page.waitForURL(/\/present\?/);
  // It can be pressed once it was in view for a while.
  await ada.page.getByRole("button", { name: "Show who I am", disabled: false }).waitFor();
  const host = await ada.page.locator(".asker strong").innerText();
  ensure(host === new URL(url).host, host);
}

/** Comes to a node for the first time, says where her home is, and shows who she is; a newcomer gives a name. */
async function visit({ url, home: place, name = null }) {
  await open(url);
  const by = /^(With an identity from another node|My home is elsewhere)$/;
  await ada.page.getByRole("button", { name: by }).press("Enter");
  const field = ada.page.getByLabel("Where is your home?");
  await field.fill("nowhere.test:1");
  await ada.press("Go there");
  await ada.sees(".by-home .wrong");
  await ada.picture("sign-in-by-identity-astray");
  await field.fill(place);
  await ada.picture("sign-in-by-identity");
  await ada.nothingHinders();
  await ada.press("Go there");
  await asked(url);
  await ada.picture("present");
  await ada.nothingHinders();
  await ada.press("Show who I am");
  const chosen = ada.page.getByLabel("Name of your account");
  await chosen.or(ada.page.locator(".worlds-head, .account-head")).first().waitFor();
  const isNew = await chosen.isVisible();
  if (isNew) {
    ensure(!/vp_token|[#?]/.test(ada.page.url()), ada.page.url());
    await ada.picture("sign-in-by-identity-newcomer");
    if (name !== null) await chosen.fill(name);
    await ada.press("Make my account");
    await ada.sees(".worlds-head, .account-head");
  }
  return { user: await who(), isNew };
}

/** Comes back to a node that knows where her home is. */
async function again({ url }) {
  await open(url);
  await ada.picture("sign-in-by-identity-again");
  await ada.page.getByRole("button", { name: /^Continue with / }).press("Enter");
  await asked(url);
  await ada.press("Show who I am");
  await ada.sees(".worlds-head, .account-head");
  return { user: await who() };
}

/** Does not want to show who she is, and nothing comes of it. */
async function refuse({ url }) {
  await open(url);
  await ada.page.getByRole("button", { name: /^Continue with / }).press("Enter");
  await asked(url);
  await ada.press("Not now");
  await ada.page.getByText("You are not signed in").waitFor();
  ensure(ada.page.url() === new URL("/sign-in/return", url).href, ada.page.url());
  await ada.picture("sign-in-by-identity-refused");
  ensure((await who()) === null, "she is signed in all the same");
  await ada.page.getByRole("link", { name: "Begin again" }).press("Enter");
  // From the page that signs in she is led on to where she came from.
  await ada.page.waitForURL(url);
}

/** Signs in to an account of the node by its password, and has her identity open it from then on. */
async function link({ url, user, password, home: place }) {
  await open(new URL("/account", url).href);
  await ada.page.locator("input[name=username]").fill(user);
  await ada.page.locator("input[name=password]").fill(password);
  await ada.press("Sign in");
  await ada.press("Add an identity");
  const links = ada.page.locator(".links");
  await links.getByLabel("Where is your home?").fill(place);
  await links.scrollIntoViewIfNeeded();
  await ada.picture("links-identity");
  await ada.press("Go on", links);
  await links.locator("input[type=password]").fill(password);
  await ada.press("Go on", links);
  await asked(url);
  await ada.press("Show who I am");
  await ada.page.getByText(/opens your account$/).waitFor();
  await ada.picture("links-identity-added");
  await ada.page.getByRole("link", { name: "Go on" }).press("Enter");
  await ada.sees(".links li");
  await links.scrollIntoViewIfNeeded();
  await ada.picture("links-identities");
  return { user: await who() };
}

/** Her identity opens that account no longer. */
async function unlink({ url, password }) {
  await ada.page.goto(new URL("/account", url).href);
  const links = ada.page.locator(".links");
  await links.getByRole("button", { name: /^End the link to / }).press("Enter");
  const secret = links.locator("input[type=password]");
  await secret.fill(password);
  await ada.press("End the link", links);
  // The form stands in place of the list until it is done.
  await links.getByRole("button", { name: "Add an identity" }).waitFor();
  ensure((await links.locator("li").count()) === 0, "the link is there still");
  return { user: await who() };
}

/** Is turned away where her identity opens nothing: she would be a newcomer again. */
async function stranger({ url }) {
  await open(url);
  await ada.page.getByRole("button", { name: /^Continue with / }).press("Enter");
  await asked(url);
  await ada.press("Show who I am");
  const said = ada.page.locator(".welcome-card .lead");
  await ada.page.waitForURL(/\/sign-in\/return$/);
  await said.waitFor();
  ensure(/has confirmed who you are|^Sign in to it once/.test(await said.innerText()), await said.innerText());
  await ada.page.goto(url);
  await ada.sees("main");
}

/** Shows who she is to whoever asks with a request of their own. */
async function shows({ url }) {
  await ada.page.goto(url);
  const { searchParams } = new URL(url);
  await asked(searchParams.get("response_uri") ?? searchParams.get("redirect_uri"));
  await ada.nothingHinders();
  await ada.press("Show who I am");
}

/** Does not want to. */
async function declines({ url }) {
  await ada.page.goto(url);
  await ada.page.getByRole("button", { name: "Not now", disabled: false }).press("Enter");
  await ada.page.waitForURL((now) => now.hostname === "localhost" || !now.pathname.startsWith("/present"));
  // The page of whoever asked says nothing of itself to a story.
  await ada.page.goto(homePage);
}

await story({ home, visit, again, refuse, link, unlink, stranger, shows, declines });
