// Ann has no password. A program that knows nothing but Matrix sends her to the node's page to confirm what it does.
import { createServer } from "node:http";
import { listen, openClub } from "./club.mjs";
import { addAuthenticator, ensure, Person, story } from "./lib.mjs";

/** A client of others, in full: it asks, opens the page of the specification, is told, and asks again. */
const PROGRAM = `<!doctype html><title>The program</title><main><button>Remove the other</button><p>nothing yet</p></main>
<script type="module">
const { home, token, device, stage } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const say = (text) => { document.querySelector("p").textContent = text; };
const remove = (auth) => fetch(new URL("/_matrix/client/v3/devices/" + device, home), {
  method: "DELETE", headers: { authorization: "Bearer " + token }, body: JSON.stringify({ auth }),
});
document.querySelector("button").addEventListener("click", async () => {
  const page = window.open("", "confirm", "popup");
  const asked = await remove();
  const { session, flows } = await asked.json();
  say(asked.status + " " + flows.map(({ stages }) => stages.join("+")).join(" "));
  page.location = new URL("/_matrix/client/r0/auth/" + stage + "/fallback/web?session=" + session, home);
  window.addEventListener("message", async ({ source, data }) => {
    if (source !== page || data !== "authDone") return;
    const done = await remove({ session });
    say("done: " + done.status);
  }, { once: true });
});
</script>`;

/** Both widths at which every screen is looked at. */
const SIZES = { wide: { width: 1280, height: 800 }, narrow: { width: 390, height: 844 } };

let ann = null;
let home = null;
let club = null;
let door = null;
let keys = null;
let lent = 0;
const came = [];

const doorway = (path) => `http://127.0.0.1:${door.address().port}${path}`;

/** The provider's address is known before the node starts, and the node's before anybody comes. */
async function open() {
  club = createServer();
  door = createServer((request, response) => {
    if (request.url.startsWith("/back")) came.push(new URL(request.url, "http://localhost"));
    response.setHeader("content-type", "text/html");
    response.end(request.url.startsWith("/back") ? "<title>Back</title><h1>Back in the program</h1>" : PROGRAM);
  });
  await listen(door);
  return { issuer: `http://localhost:${await listen(club)}` };
}

async function picture(page, name) {
  for (const [size, viewport] of Object.entries(SIZES)) {
    await page.setViewportSize(viewport);
    await ann.picture(name, page, size);
  }
}

async function arrive(given) {
  home = given.home;
  await openClub(club, given);
  ann = await Person.settle("Ann");
  // Beside a name, this device would take what is offered before anybody has looked at the page.
  await ann.page.context().addInitScript(() => {
    if ("PublicKeyCredential" in window) PublicKeyCredential.isConditionalMediationAvailable = async () => false;
  });
  keys = await addAuthenticator(ann.page);
  await ann.page.goto(new URL("/sign-in?home=/&provider=club", home).href);
  await vouch(ann.page, "ann");
  await ann.press("Make my account");
  await ann.page.waitForURL(new URL("/", home).href);
}

/** Says at the provider who one is, and lets it tell. */
async function vouch(page, login) {
  await page.locator("input[name=login]").fill(login);
  await page.locator("input[name=password]").fill("anything");
  await page.getByRole("button", { name: "Sign-in" }).press("Enter");
  const tell = page.getByRole("button", { name: "Continue" });
  const back = page.waitForURL(/sign-in\/return/).then(() => null);
  await Promise.race([tell.press("Enter"), back]);
  await back;
}

const press = (page, name) => page.getByRole("button", { name, exact: true }).press("Enter");

async function login(token, name) {
  const body = JSON.stringify({ type: "m.login.token", token, initial_device_display_name: name });
  const answer = await fetch(new URL("/_matrix/client/v3/login", home), { method: "POST", body });
  const opened = await answer.json();
  ensure(answer.ok, opened);
  return opened;
}

/** Signs a program in for Ann, by whatever way the sign-in page is left. */
async function signInto(name, prove) {
  const page = await ann.page.context().newPage();
  const url = new URL("/_matrix/client/v3/login/sso/redirect", home);
  url.searchParams.set("redirectUrl", doorway("/back"));
  await page.goto(url.href);
  await prove(page);
  await page.getByText("Back in the program").waitFor();
  await page.close();
  return login(came.pop().searchParams.get("loginToken"), name);
}

async function byClub(page) {
  await press(page, "Sign in with The Club");
  await page.getByText("You are @ann:a.test.").waitFor();
  await press(page, "Go on");
}

async function byPasskey(page) {
  await lend(page);
  await press(page, "Sign in with a passkey");
}

/** The same device in another window. */
async function lend(page) {
  const { credentials } = await keys.browser.send("WebAuthn.getCredentials", { authenticatorId: keys.authenticatorId });
  const other = await addAuthenticator(page);
  for (const credential of credentials) {
    // A device counts on, whichever window asks it.
    lent += 1;
    const counted = { ...credential, signCount: credential.signCount + 100 * lent };
    await other.browser.send("WebAuthn.addCredential", { authenticatorId: other.authenticatorId, credential: counted });
  }
}

/** The program and the page that it opens to remove another device. */
async function ask(stage, flows, prove) {
  const mine = await signInto("Lantern", prove);
  const other = await signInto("Old phone", prove);
  const page = await ann.page.context().newPage();
  const said = { home, token: mine.access_token, device: other.device_id, stage };
  await page.goto(`${doorway("/program")}#${new URLSearchParams(said)}`);
  const opened = page.waitForEvent("popup");
  await press(page, "Remove the other");
  const popup = await opened;
  await popup.getByText("Sign out and remove: Old phone").waitFor();
  const text = await page.locator("p").innerText();
  ensure(text === `401 ${flows}`, text);
  const shown = await popup.locator("main").innerText();
  for (const wanted of [`Old phone (${other.device_id})`, "Asked by: Lantern", "Your account: @ann:a.test"]) {
    ensure(shown.includes(wanted), shown);
  }
  return { page, popup, other };
}

async function isDone({ page, popup, other }) {
  await page.getByText("done: 200").waitFor();
  await popup.getByText("You can go back to where you came from").waitFor();
  const headers = { authorization: `Bearer ${other.access_token}` };
  const gone = await fetch(new URL("/_matrix/client/v3/account/whoami", home), { headers });
  ensure(gone.status === 401, `${gone.status}`);
}

async function confirmByClub() {
  const asked = await ask("m.login.sso", "m.login.sso", byClub);
  const { popup } = asked;
  ensure((await popup.locator("input[type=password]:visible").count()) === 0, "a password is asked for");
  await picture(popup, "confirming-club");
  await press(popup, "Confirm with The Club");
  await vouch(popup, "ann");
  await popup.getByText("Sign out and remove: Old phone").waitFor();
  await picture(popup, "confirming-back");
  await press(popup, "Confirm");
  await isDone(asked);
  await picture(popup, "confirming-done");
  await popup.close();
  await asked.page.close();
}

/** Whoever comes back as somebody else confirms nothing, and may try again. */
async function beSomebodyElse() {
  const asked = await ask("m.login.sso", "m.login.sso", byClub);
  const { popup, page } = asked;
  await press(popup, "Confirm with The Club");
  await vouch(popup, "eve");
  await popup.getByText("Nothing has changed").waitFor();
  await picture(popup, "confirming-stranger");
  await popup.getByRole("link", { name: "Begin again" }).press("Enter");
  await popup.getByText("Sign out and remove: Old phone").waitFor();
  await press(popup, "Do not confirm");
  await popup.getByText("Not confirmed").waitFor();
  ensure((await page.locator("p").innerText()) === "401 m.login.sso", "the program was told");
  await popup.close();
  await page.close();
}

async function masterKey() {
  const session = JSON.parse(await ann.page.evaluate(() => localStorage.getItem("wayside.session")));
  const headers = { authorization: `Bearer ${session.access_token}` };
  const body = JSON.stringify({ device_keys: { "@ann:a.test": [] } });
  const answer = await fetch(new URL("/_matrix/client/v3/keys/query", home), { method: "POST", headers, body });
  return Object.keys((await answer.json()).master_keys["@ann:a.test"].keys)[0];
}

/** Whoever has nothing but the word of the Club begins anew with their encryption by it. */
async function beginAnew() {
  await ann.sees(".note-card.recovery");
  const first = await masterKey();
  await ann.page.evaluate(() => localStorage.clear());
  await ann.page.goto(new URL("/sign-in?home=/&provider=club", home).href);
  await vouchAgain(ann.page, "ann");
  await ann.page.waitForURL(new URL("/", home).href);
  await ann.sees(".note-card.unverified");
  await ann.page.getByRole("button", { name: /^I have n/ }).press("Enter");
  await ann.sees("dialog .form");
  const left = ann.page.waitForEvent("popup");
  await ann.press("Confirm on the sign-in page");
  const closed = await left;
  await closed.getByText("Your account: @ann:a.test").waitFor();
  await closed.close();
  await ann.page.getByText("Nothing was confirmed").waitFor();
  ensure((await masterKey()) === first, "what nobody confirmed has happened");
  await picture(ann.page, "confirming-begin-anew");
  const opened = ann.page.waitForEvent("popup");
  await ann.press("Confirm on the sign-in page");
  const popup = await opened;
  await press(popup, "Confirm with The Club");
  await vouch(popup, "ann");
  await picture(popup, "confirming-keys");
  await press(popup, "Confirm");
  await ann.sees("dialog", "detached");
  await ann.sees(".note-card.unverified", "detached");
  ensure((await masterKey()) !== first, "the keys are the old ones");
}

const openSettings = async () => {
  await ann.press("Settings");
  await ann.sees(".passkeys button");
  await ann.sees(".links button");
};

/** On the node's own page, what needs a proof opens the same page. */
async function addPasskey() {
  await openSettings();
  await (await ann.sees(".links .passkey-list")).scrollIntoViewIfNeeded();
  await picture(ann.page, "links");
  await ann.press("Add a passkey");
  const left = ann.page.waitForEvent("popup");
  await ann.press("Confirm on the sign-in page");
  const closed = await left;
  await closed.getByText("It opens your account from then on.").waitFor();
  await closed.close();
  await ann.page.getByText("The page was closed before anything was confirmed.").waitFor();
  const opened = ann.page.waitForEvent("popup");
  await ann.press("Confirm on the sign-in page");
  const popup = await opened;
  await press(popup, "Confirm with The Club");
  await vouch(popup, "ann");
  await press(popup, "Confirm");
  await ann.page.getByText("Your passkey is added.").waitFor();
  await ann.sees(".passkeys .passkey-list li");
}

async function endLink() {
  await ann.press("End the link to The Club");
  await ann.press("Use a passkey");
  await ann.page.getByText("The link to The Club has ended.").waitFor();
  await (await ann.sees(".links")).scrollIntoViewIfNeeded();
  await picture(ann.page, "links-none");
  // The last way in stays.
  const name = (await ann.page.locator(".passkeys .passkey-list strong").innerText()).trim();
  await ann.press(`Remove ${name}`);
  await ann.press("Use a passkey");
  await ann.page.getByText("Nothing else opens this account").waitFor();
  await ann.press("Back", ann.page.locator(".passkeys"));
}

async function confirmByPasskey() {
  const asked = await ask("org.wayside.passkey", "org.wayside.passkey m.login.sso", byPasskey);
  const { popup } = asked;
  await lend(popup);
  await picture(popup, "confirming-passkey");
  await press(popup, "Confirm with a passkey");
  await isDone(asked);
  await popup.close();
  await asked.page.close();
}

/** There and back again, in the other language. */
async function addLink() {
  await ann.page.evaluate(() => localStorage.clear());
  const german = await Person.open("Bob", { locale: "de-DE" });
  await german.page.goto(new URL("/sign-in?home=/&provider=club", home).href);
  await vouch(german.page, "bob");
  await german.press("Konto anlegen");
  await german.page.waitForURL(new URL("/", home).href);
  await german.press("Einstellungen");
  await (await german.sees(".links .passkey-list")).scrollIntoViewIfNeeded();
  await picture(german.page, "links-german");
  await german.press("The Club hinzufügen");
  const opened = german.page.waitForEvent("popup");
  await german.press("Auf der Anmeldeseite bestätigen");
  const popup = await opened;
  await popup.getByText("Ein Konto anderswo hinzufügen").waitFor();
  await picture(popup, "confirming-german");
  await press(popup, "Mit The Club bestätigen");
  await vouch(popup, "bob");
  await press(popup, "Bestätigen");
  await vouchAgain(german.page, "robert");
  await german.page.getByText("The Club öffnet dein Konto").waitFor();
  await picture(german.page, "links-back-german");
  await german.page.getByRole("link", { name: "Weiter" }).press("Enter");
  await german.press("Einstellungen");
  await german.page.locator(".links .passkey-list li").nth(1).waitFor();
  club.close();
  door.close();
  await german.leave();
  await ann.page.goto(home);
  await ann.sees("main");
  await ann.leave();
}

/** The club remembers who was there in this browser: somebody with two names there says the other. */
async function vouchAgain(page, login) {
  await page.waitForURL(/\/interaction\/|sign-in\/return/);
  if (page.url().includes("/interaction/")) await vouch(page, login);
}

await story({ open, arrive, confirmByClub, beSomebodyElse, beginAnew, addPasskey, endLink, confirmByPasskey, addLink });
