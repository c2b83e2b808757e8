// Ann makes a passkey and comes in by it everywhere, until she removes it.
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { addAuthenticator, ensure, Person, story } from "./lib.mjs";

let ann = null;
let home = null;
let password = null;
/** Speaks to the browser about its authenticator, which is a device that nobody has to touch. */
let browser = null;
let authenticatorId = null;

async function api(url, { form = null, json = null, token = null } = {}) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const body = form ? new URLSearchParams(form) : json ? JSON.stringify(json) : undefined;
  const answer = await fetch(new URL(url, home), { method: body ? "POST" : "GET", headers, body });
  return { status: answer.status, body: await answer.json() };
}

async function held() {
  return (await browser.send("WebAuthn.getCredentials", { authenticatorId })).credentials;
}

async function words(selector) {
  return (await ann.sees(selector)).innerText();
}

/** Whether the browser offers passkeys beside the name: this device takes the first at once. */
async function autofill(may) {
  await ann.page.evaluate((word) => localStorage.setItem("story.autofill", word), may ? "yes" : "no");
}

/** A picture of a card that has come to rest, down to its end. */
async function picture(name) {
  const card = ann.page.locator(".welcome-card");
  await card.evaluate((element) => Promise.all(element.getAnimations().map(({ finished }) => finished)));
  await card.evaluate((element) => element.lastElementChild.scrollIntoView({ block: "end" }));
  await ann.picture(name);
}

const openSettings = async () => {
  await ann.press("Settings");
  await ann.sees(".passkeys button");
};

const closeSettings = () => ann.press("Done", ann.page.locator(".dialog-body"));

async function signOut() {
  await ann.press("Sign out");
  await ann.sees(".welcome-card");
  await ann.press("I have an account");
}

const inside = () => ann.sees(".worlds-head");

async function arrive(given) {
  ({ home, password } = given);
  ann = await Person.settle("Ann");
  await ann.page.addInitScript(() => {
    // Not on the empty page before the first.
    if (!("PublicKeyCredential" in window)) return;
    const real = PublicKeyCredential.isConditionalMediationAvailable;
    PublicKeyCredential.isConditionalMediationAvailable = async () =>
      localStorage.getItem("story.autofill") === "yes" && real.call(PublicKeyCredential);
  });
  ({ browser, authenticatorId } = await addAuthenticator(ann.page));
  await ann.signIn(home, "ann", password);
  await inside();
}

async function add() {
  await openSettings();
  ensure((await words(".passkeys")).startsWith("You have none yet."), await words(".passkeys"));
  await ann.page.locator(".passkeys").scrollIntoViewIfNeeded();
  await ann.picture("passkeys-none");
  await ann.press("Add a passkey");
  const field = ann.page.locator(".passkeys").getByLabel("Password");
  await field.fill("not the password");
  await ann.press("Go on");
  ensure((await words(".passkeys .wrong")) === "That did not show that it is you. Try again.");
  await ann.picture("passkeys-prove");
  await field.fill(password);
  await ann.press("Go on");
  await ann.sees(".passkey-list li");
  const [one, ...others] = await held();
  ensure(one.isResidentCredential && one.rpId === "localhost" && others.length === 0, one);
  // The device has one already, and the browser says so.
  await ann.press("Add a passkey");
  await ann.press("Use a passkey");
  ensure((await words(".passkeys .wrong")) === "This device holds a passkey of yours already.");
  await ann.press("Back");
  const name = (await words(".passkey-list strong")).trim();
  await ann.press(`Rename ${name}`);
  await ann.page.locator(".passkeys").getByLabel("Name").fill("My desk");
  await ann.press("Save");
  await ann.page.getByText("It has its new name.").waitFor();
  await ann.page.locator(".passkey-list").scrollIntoViewIfNeeded();
  ensure((await words(".passkey-list li")).includes("My desk"));
  await ann.picture("passkeys");
  await closeSettings();
}

/** The button, without what the browser offers by itself. */
async function comeIn() {
  await signOut();
  await ann.sees(".by-passkey button");
  await picture("passkeys-welcome");
  await ann.press("Sign in with a passkey");
  await inside();
  ensure((await held())[0].signCount > 1, "the passkey was not used");
}

async function comeInByAutofill() {
  await autofill(true);
  await signOut();
  await inside();
  await autofill(false);
}

/** A card that says what is to be done about keys. */
const card = (name, state) => ann.sees(`.note-card.${name}`, state);

const dialog = () => ann.page.locator("dialog");

/** Ann begins anew with her encryption, which she confirms by a passkey; trying in vain costs her nothing. */
async function beginAnew() {
  const masterKey = async () => {
    const token = await ann.page.evaluate(() => JSON.parse(localStorage.getItem("wayside.session")).access_token);
    const { body } = await api("/_matrix/client/v3/keys/query", { json: { device_keys: { "@ann:a.test": [] } }, token });
    return Object.keys(body.master_keys["@ann:a.test"].keys)[0];
  };
  // Her first sign-in is over, and so are the keys that it made.
  await card("unverified");
  const first = await masterKey();
  await ann.press("I have none");
  await ann.sees("dialog .form");
  await ann.picture("passkeys-begin-anew");
  await ann.press("Use a passkey");
  await ann.sees("dialog", "detached");
  await card("unverified", "detached");
  const second = await masterKey();
  ensure(second !== first, "the keys are the old ones");
  await ann.press("Save it now");
  const recoveryKey = await (await ann.sees("dialog textarea")).inputValue();
  await ann.press("I have saved it");
  await card("recovery", "detached");

  await signOut();
  await ann.press("Sign in with a passkey");
  await inside();
  await card("unverified");
  await ann.press("I have neither");
  await dialog().getByLabel("Your password").fill("not the password");
  await ann.press("Begin anew");
  ensure((await words("dialog .wrong")) === "That is not your password.", await words("dialog .wrong"));
  await browser.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: false });
  await ann.press("Use a passkey");
  await ann.finds("that no passkey was used", () => document.querySelector("dialog .wrong").textContent.startsWith("No passkey was used"));
  await browser.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: true });
  await ann.page.keyboard.press("Escape");
  await ann.sees("dialog", "detached");
  // The keys of before still count, also here.
  await ann.press("Use the recovery key");
  await ann.page.getByRole("textbox", { name: "Recovery key" }).fill(recoveryKey);
  await ann.press("Confirm this sign-in");
  await card("unverified", "detached");
  await ann.sees("dialog", "detached");
  ensure((await masterKey()) === second, "the keys changed by being confirmed");
}

async function letProgramIn() {
  let came = null;
  const door = createServer((request, response) => {
    if (request.url.startsWith("/back")) came = new URL(request.url, "http://localhost");
    response.setHeader("content-type", "text/html");
    response.end("<title>The program</title><h1>Back in the program</h1>");
  });
  door.listen(0, "127.0.0.1");
  await once(door, "listening");
  const metadata = (await api("/_matrix/client/v1/auth_metadata")).body;
  const said = {
    client_name: "Lantern",
    client_uri: "https://lantern.example/",
    application_type: "native",
    redirect_uris: ["http://127.0.0.1/back"],
  };
  const clientId = (await api(metadata.registration_endpoint, { json: said })).body.client_id;
  const verifier = randomBytes(32).toString("base64url");
  const redirect = `http://127.0.0.1:${door.address().port}/back`;
  const url = new URL(metadata.authorization_endpoint);
  const asked = {
    client_id: clientId,
    redirect_uri: redirect,
    response_type: "code",
    scope: "urn:matrix:client:api:* urn:matrix:client:device:PROGRAM001",
    state: "passkey",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value);
  await ann.page.goto(url.href);
  await ann.sees(".by-passkey button");
  await picture("passkeys-letting-in");
  await ann.press("Sign in with a passkey");
  await ann.page.getByText("Back in the program").waitFor();
  const form = { grant_type: "authorization_code", client_id: clientId, redirect_uri: redirect, code: came.searchParams.get("code"), code_verifier: verifier };
  const { status, body } = await api(metadata.token_endpoint, { form });
  ensure(status === 200, body);
  const who = (await api("/_matrix/client/v3/account/whoami", { token: body.access_token })).body;
  ensure(who.user_id === "@ann:a.test" && who.device_id === "PROGRAM001", who);
  door.close();
  await ann.page.goto(home);
  await inside();
}

/** A device without a keyboard shows a code, and is let in on the page by what it cannot ask for itself. */
async function letDeviceIn() {
  const metadata = (await api("/_matrix/client/v1/auth_metadata")).body;
  const grant = "urn:ietf:params:oauth:grant-type:device_code";
  const said = { client_name: "Lamp", client_uri: "https://lamp.example/", application_type: "native", grant_types: [grant, "refresh_token"] };
  const clientId = (await api(metadata.registration_endpoint, { json: said })).body.client_id;
  const scope = "urn:matrix:client:api:* urn:matrix:client:device:LAMP001";
  const asked = (await api(metadata.device_authorization_endpoint, { form: { client_id: clientId, scope } })).body;
  const form = { grant_type: grant, client_id: clientId, device_code: asked.device_code };
  const early = await api(metadata.token_endpoint, { form });
  ensure(early.body.error === "authorization_pending", early);
  await ann.page.goto(asked.verification_uri_complete);
  await ann.press("Next");
  await ann.sees(".by-passkey button");
  await picture("passkeys-device");
  await ann.press("Sign in with a passkey");
  await ann.page.getByText("Look at the device").waitFor();
  // It asks no more often than it may.
  await pause(1_000 * (asked.interval ?? 5));
  const { status, body } = await api(metadata.token_endpoint, { form });
  ensure(status === 200, body);
  const who = (await api("/_matrix/client/v3/account/whoami", { token: body.access_token })).body;
  ensure(who.user_id === "@ann:a.test" && who.device_id === "LAMP001", who);
  await ann.page.goto(home);
  await inside();
}

async function forget() {
  await signOut();
  await ann.press("Forgot your password?");
  await picture("passkeys-forgot");
  await ann.press("Use a passkey");
  password = "a new one that she will remember";
  await ann.page.getByLabel("Choose a password").fill(password);
  await picture("passkeys-choose");
  await ann.press("Set my password");
  await inside();
  const log = (shown) =>
    api("/_matrix/client/v3/login", { json: { type: "m.login.password", identifier: { type: "m.id.user", user: "ann" }, password: shown } });
  ensure((await log("correct horse battery staple")).status === 403, "the old password opens the account");
  ensure((await log(password)).status === 200, "the new password does not open the account");
}

async function speakGerman() {
  await openSettings();
  await ann.page.getByLabel("Language").selectOption("de");
  await ann.press("Einstellungen");
  await (await ann.sees(".passkey-list")).scrollIntoViewIfNeeded();
  ensure((await words(".passkey-list .hint")).includes("zuletzt benutzt am"));
  await ann.picture("passkeys-german");
  await ann.page.getByLabel("Sprache").selectOption("en");
}

async function remove() {
  await openSettings();
  await ann.press("Remove My desk");
  await ann.press("Use a passkey");
  await ann.page.getByText("My desk is removed.").waitFor();
  // The list is asked for anew.
  await ann.page.locator(".passkeys").getByText("You have none yet.").waitFor();
  await closeSettings();
  // The device still holds what opens nothing any more.
  ensure((await held()).length === 1, await held());
  await signOut();
  await ann.press("Sign in with a passkey");
  await ann.page.getByText("This passkey opens nothing here any more").waitFor();
  await picture("passkeys-removed");
  await browser.send("WebAuthn.clearCredentials", { authenticatorId });
  await ann.press("Sign in with a passkey");
  await ann.page.getByText("No passkey was used").waitFor();
  await ann.leave();
}

await story({ arrive, add, comeIn, comeInByAutofill, beginAnew, letProgramIn, letDeviceIn, forget, speakGerman, remove });
