// Programs send Ann to the page on which she looks after her account, and Bob sees it in his language.
import { ensure, Person, story } from "./lib.mjs";

const DESK = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const ACTIONS = ["profile", "devices_list", "device_view", "device_delete", "account_deactivate", "cross_signing_reset"];
const CLIENT = "/_matrix/client/v3";

let home = "";
let password = "";
let page = "";
let ann = null;
/** A program of hers on another machine. */
let lantern = null;

async function call(token, method, path, body) {
  const headers = token === null ? {} : { authorization: `Bearer ${token}` };
  const answer = await fetch(new URL(path, home), { method, headers, body: body && JSON.stringify(body) });
  return { status: answer.status, body: await answer.json() };
}

async function logIn(user, name) {
  const identifier = { type: "m.id.user", user };
  const wish = { type: "m.login.password", identifier, password, initial_device_display_name: name };
  const { status, body } = await call(null, "POST", `${CLIENT}/login`, wish);
  ensure(status === 200, body);
  return body;
}

/** The address to which a program sends its person, as the specification has it. */
function link(action, deviceId = null) {
  const url = new URL(page);
  if (action !== null) url.searchParams.set("action", action);
  if (deviceId !== null) url.searchParams.set("device_id", deviceId);
  return url.href;
}

async function heading(who, text) {
  try {
    await who.page.getByRole("heading", { name: text, exact: true }).waitFor();
  } catch (error) {
    await who.picture("trouble").catch(() => {});
    throw error;
  }
}

/** Keeps a picture, and fails with whatever keeps somebody from using what is shown. */
async function look(who, name) {
  const found = await who.hindrances();
  await who.picture(`account-${name}`);
  ensure(found.length === 0, `${name}: ${found.join("\n")}`);
}

/** Pictures of all that has to be scrolled to. */
async function lookDown(who, name) {
  await look(who, name);
  for (let below = 1; ; below += 1) {
    const more = await who.page.locator(".account").evaluate((it) => {
      const before = it.scrollTop;
      it.scrollTop += it.clientHeight - 120;
      return it.scrollTop > before;
    });
    if (!more) return;
    await look(who, `${name}-${below}`);
  }
}

const isThere = async (device) => (await call(device.access_token, "GET", `${CLIENT}/account/whoami`)).status === 200;

async function masterKey() {
  const { access_token: token, user_id: user } = lantern;
  const { body } = await call(token, "POST", `${CLIENT}/keys/query`, { device_keys: { [user]: [] } });
  return Object.keys(body.master_keys?.[user]?.keys ?? {})[0] ?? null;
}

async function signIn(who, user, button = "Sign in") {
  await who.page.locator("input[name=username]").fill(user);
  await who.page.locator("input[name=password]").fill(password);
  await who.press(button);
}

/** What is announced is what there is; whoever is a stranger signs in, and arrives where they were sent. */
async function arrive(given) {
  ({ home, password } = given);
  const { body: said } = await call(null, "GET", "/_matrix/client/v1/auth_metadata");
  const announced = [...said.account_management_actions_supported].sort();
  ensure(announced.join() === ACTIONS.map((it) => `org.matrix.${it}`).sort().join(), said);
  page = said.account_management_uri;
  ensure(page === new URL("/account", home).href, page);
  lantern = await logIn("ann", "Lantern on a telephone with a rather long name");
  ann = await Person.open("Ann", DESK);
  await ann.page.goto(link("org.matrix.devices_list"));
  await ann.sees("input[name=username]");
  ensure((await ann.page.getByRole("button", { name: "Come in as a guest" }).count()) === 0, "guests have no account");
  await look(ann, "sign-in");
  await signIn(ann, "ann");
  await ann.page.getByText("Lantern on a telephone").first().waitFor();
  await heading(ann, "Devices");
  ensure((await ann.page.locator(".account-part").count()) === 1, "more than what was asked for");
  await look(ann, "devices");
}

async function profile() {
  await ann.page.goto(link("org.matrix.profile"));
  await heading(ann, "Profile");
  const name = ann.page.locator("input[name=name]");
  await name.fill("Ann of the Lake");
  await ann.press("Save");
  await ann.page.getByText("Others see you as Ann of the Lake now.").waitFor();
  const { body } = await call(null, "GET", `${CLIENT}/profile/${encodeURIComponent(lantern.user_id)}`);
  ensure(body.displayname === "Ann of the Lake", body);
  await look(ann, "profile");
}

async function device() {
  await ann.page.goto(link("org.matrix.device_view", lantern.device_id));
  await heading(ann, "About this device");
  await ann.page.getByText(lantern.device_id, { exact: true }).waitFor();
  await look(ann, "device");
  await ann.press("Rename");
  await ann.page.locator("input[name=device-name]").fill("Lantern");
  await ann.press("Save");
  await ann.page.getByText("It has its new name.").waitFor();
  const { body } = await call(lantern.access_token, "GET", `${CLIENT}/devices/${lantern.device_id}`);
  ensure(body.display_name === "Lantern", body);
}

/** A link alone does nothing, nor does a wrong password. */
async function signOut() {
  const old = await logIn("ann", "Old phone");
  await ann.page.goto(link("org.matrix.device_delete", old.device_id));
  await heading(ann, "Sign out Old phone");
  await ann.page.getByText("It can do nothing more with your account").waitFor();
  await look(ann, "sign-out");
  ensure(await isThere(old), "a link signed it out");
  await ann.press("Sign out", ann.page.locator(".account-part").first());
  const secret = ann.page.locator("input[name=password]");
  await secret.fill("not the password");
  await ann.press("Sign out", ann.page.locator("form"));
  await ann.page.getByText("That did not show that it is you.").waitFor();
  await look(ann, "sign-out-wrong");
  ensure(await isThere(old), "a wrong password signed it out");
  await secret.fill(password);
  await ann.press("Sign out", ann.page.locator("form"));
  await ann.page.getByText("Old phone is signed out.").waitFor();
  await heading(ann, "Devices");
  ensure(!(await isThere(old)), "it is still signed in");
  ensure(await isThere(lantern), "another was signed out too");
  // The same link another time leads nowhere, and says so.
  await ann.page.goto(link("org.matrix.device_delete", old.device_id));
  await ann.page.getByText(`There is no device ${old.device_id}`).waitFor();
  await look(ann, "sign-out-gone");
}

/** New keys are made in this browser, once she has shown that it is her. */
async function keys() {
  await ann.page.goto(link("org.matrix.cross_signing_reset"));
  await heading(ann, "Begin anew with new keys");
  await look(ann, "keys");
  const known = () => ann.page.waitForTimeout(100).then(masterKey);
  let first = await masterKey();
  // The browser of a new member makes the first keys by itself, once it has been asked to open them.
  await ann.press("Keys and recovery");
  await ann.sees("dialog .rows");
  while (first === null) first = await known();
  await ann.page.keyboard.press("Escape");
  await ann.sees("dialog", "detached");
  await ann.press("Make new keys");
  await ann.sees("dialog input[type=password]");
  await ann.page.locator("dialog input[type=password]").fill(password);
  ensure((await masterKey()) === first, "a link made new keys");
  await ann.press("Begin anew", ann.page.locator("dialog"));
  await ann.sees("dialog", "detached");
  const now = await masterKey();
  ensure(now !== null && now !== first, `${first} and now ${now}`);
}

/** A password of the page's own overview; another device is signed out by it where that is wished. */
async function newPassword() {
  await ann.page.goto(link(null));
  await heading(ann, "Your account");
  await ann.page.locator(".device-list").waitFor();
  await lookDown(ann, "all");
  await ann.press("Choose a new password");
  await ann.page.locator("input[name=password]").fill("lanterns beside the lake");
  await ann.page.getByLabel("Sign out everywhere else").press("Space");
  await ann.press("Go on");
  await ann.page.locator("input[autocomplete=current-password]").fill(password);
  await ann.press("Set it");
  await ann.page.getByText("Your new password is set.").waitFor();
  ensure(!(await isThere(lantern)), "the other is still signed in");
  password = "lanterns beside the lake";
  lantern = await logIn("ann", "Lantern");
}

/** What is unknown is told, and harms nobody. */
async function strangers({ other }) {
  for (const action of ["org.example.dance", "constructor", "<script>alert(1)</script>", "x".repeat(3000)]) {
    await ann.page.goto(link(action));
    await ann.page.getByText("You were sent here for something that this page does not do.").waitFor();
    await heading(ann, "Devices");
  }
  await look(ann, "unknown-action");
  for (const device of [other, "NOTHING", "<b>bold</b>", "../../account", "x".repeat(3000)]) {
    await ann.page.goto(link("org.matrix.device_view", device));
    await ann.page.getByText(`There is no device ${device.slice(0, 64)}`).waitFor();
    await heading(ann, "Profile");
  }
  // Without a device, all are shown; by its older name, the same is done.
  for (const action of ["org.matrix.device_delete", "org.matrix.session_end", "org.matrix.sessions_list"]) {
    await ann.page.goto(link(action));
    await heading(ann, "Devices");
    ensure((await ann.page.locator(".account-part").count()) === 1, action);
  }
  // Whoever comes back from elsewhere is sent to no other page than one of this node's.
  for (const home_ of ["/.//elsewhere.example/", "//elsewhere.example/", "https://elsewhere.example/"]) {
    await ann.page.goto(new URL(`/sign-in?${new URLSearchParams({ home: home_ })}`, home).href);
    await ann.page.waitForURL((url) => url.pathname !== "/sign-in");
    ensure(new URL(ann.page.url()).origin === new URL(home).origin, ann.page.url());
  }
}

/** Guests are told how they would have something to look after. */
async function guest() {
  const gus = await Person.open("Gus", PHONE);
  await gus.page.goto(home);
  await gus.page.getByLabel("Your name").fill("Gus");
  await gus.press("Walk in");
  await gus.page.waitForFunction(() => localStorage.getItem("wayside.session") !== null);
  await gus.page.goto(link("org.matrix.account_deactivate"));
  await heading(gus, "You are here as a guest");
  await look(gus, "guest");
  await gus.leave();
}

async function end() {
  await ann.page.goto(link("org.matrix.account_deactivate"));
  await heading(ann, "End your account");
  await ann.page.getByText("Nobody can bring the account back").waitFor();
  await look(ann, "end");
  ensure(await isThere(lantern), "a link ended the account");
  await ann.page.getByLabel("Erase what I leave behind").check();
  await ann.press("End my account for ever");
  await ann.page.locator("input[name=password]").fill(password);
  await look(ann, "end-prove");
  const ending = ann.page.waitForRequest((it) => it.url().endsWith("/account/deactivate") && it.postDataJSON().auth);
  await ann.press("End my account for ever", ann.page.locator("form"));
  await heading(ann, "Your account has ended");
  ensure((await ending).postDataJSON().erase === true, "it is not erased");
  await look(ann, "ended");
  ensure(!(await isThere(lantern)), "it is still signed in");
  const identifier = { type: "m.id.user", user: "ann" };
  const again = await call(null, "POST", `${CLIENT}/login`, { type: "m.login.password", identifier, password });
  ensure(again.status === 403, again);
  ensure((await ann.page.evaluate(() => localStorage.getItem("wayside.session"))) === null, "the browser remembers her");
  await ann.leave();
}

/** The same on a telephone, in the other language. */
async function german(given) {
  ({ password } = given);
  const phone = await logIn("bob", "Bobs Laterne auf einem Telefon mit einem eher langen Namen");
  const bob = await Person.open("Bob", { ...PHONE, locale: "de-DE" });
  await bob.page.goto(link("org.matrix.device_delete", phone.device_id));
  await bob.sees("input[name=username]");
  await look(bob, "sign-in-german");
  await signIn(bob, "bob", "Anmelden");
  await heading(bob, `${"Bobs Laterne auf einem Telefon mit einem eher langen Namen"} abmelden`);
  await lookDown(bob, "sign-out-german");
  await bob.page.goto(link(null));
  await bob.page.locator(".device-list").waitFor();
  await lookDown(bob, "all-german");
  await bob.page.goto(link("org.matrix.device_view", "WEG"));
  await bob.page.getByText("gibt es kein Gerät WEG").waitFor();
  await look(bob, "unknown-german");
  await bob.press("Welten");
  await bob.press("Einstellungen");
  await bob.page.getByRole("link", { name: "Mein Konto verwalten" }).press("Enter");
  await heading(bob, "Dein Konto");
  await bob.leave();
}

await story({ arrive, profile, device, signOut, keys, newPassword, strangers, guest, end, german });
