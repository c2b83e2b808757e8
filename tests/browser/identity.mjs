// Somebody's identity in the browser: saved by words or a file, used on another device, and brought back.
import { addAuthenticator, ensure, identityPage, Person, register, saveAsFile, story } from "./lib.mjs";

const DESK = { viewport: { width: 1100, height: 860 } };
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const WORDS = 12;

let home = "";
let user = "";
let password = "";
/** Whose page is looked at: the first browser, or the one that came last. */
let who = null;

const dialog = () => who.page.locator("dialog");
const part = () => who.page.locator(".account-inside[data-identity]");

/** Everything that is wrong with what is shown, and a picture of it. */
async function look(name) {
  const found = await who.hindrances();
  await who.picture(name);
  ensure(found.length === 0, `${name}: ${found.join("\n")}`);
}

const account = () => identityPage(who, home);

async function worlds() {
  await who.page.goto(home);
  await who.sees(".worlds-head");
}

const isClosed = () => who.sees("dialog", "detached");

/** Shows a part of the page from its beginning. */
async function scrollTo(place) {
  await place.evaluate((it) => (it.matches("details") ? it : it.closest(".account-part")).scrollIntoView({ block: "start" }));
}

/** Opens a browser of its own. */
async function open({ url, name = "Ada", phone = false, german = false }) {
  home = url;
  const options = { ...(phone ? PHONE : DESK), ...(german ? { locale: "de-DE" } : {}), ignoreHTTPSErrors: true };
  who = await Person.open(name, options);
  await who.page.goto(home);
}

/** Makes an account, and goes to the list of worlds. */
async function signUp(given) {
  ({ user, password } = given);
  await register({ ...given, url: home });
  await signIn(given);
}

async function signIn(given) {
  ({ user, password } = given);
  await who.signIn(home, user, password);
  await who.sees(".worlds-head");
}

/** What the card says that asks to keep the identity safe, or null where there is none. */
async function card({ gone = false }) {
  const place = await who.sees(".note-card.identity", gone ? "detached" : "visible");
  return gone ? null : place.innerText();
}

async function later() {
  await who.press("Later", who.page.locator(".note-card.identity"));
  await who.sees(".note-card.identity", "detached");
}

async function shownWords() {
  await who.sees("dialog .word-list li");
  const words = await dialog().locator(".word-list li span").allInnerTexts();
  ensure(words.length === WORDS, words);
  return words;
}

/** Types the words that are asked for. */
async function confirmWords(words) {
  await who.press("I have written them down");
  await who.sees("dialog input[name^=word-]");
  for (const input of await dialog().locator("input[name^=word-]").all()) {
    await input.fill(words[Number((await input.getAttribute("name")).slice("word-".length)) - 1]);
  }
}

/** Goes through the dialog of the card, or of the account, and gives the words. */
async function save({ from = "card", shots = true }) {
  if (from === "account") await account();
  await who.press(from === "account" ? "Save my words" : "Save now");
  const words = await shownWords();
  if (shots) await look("identity-save");
  await confirmWords(words.map(() => "zebra"));
  await who.press("That is them");
  await dialog().getByText("That is not word").waitFor();
  await who.press("Show the words again");
  await confirmWords(words);
  if (shots) await look("identity-check");
  await who.press("That is them");
  await dialog().getByText("Your identity is saved.").waitFor();
  if (shots) await look("identity-lock");
  await who.press("Not now");
  await isClosed();
  return words.join(" ");
}

/** Saves by the recovery file, and gives what is in it. */
async function file({ from = "card" }) {
  if (from === "account") await account();
  return saveAsFile(who, from === "account" ? "Save my words" : "Save now");
}

/** Sets a passphrase for other devices, from the account. */
async function lock({ passphrase }) {
  await account();
  await who.press("Set a passphrase or passkey");
  await dialog().locator("input[name=passphrase]").fill(passphrase);
  await dialog().locator("input[name=passphrase-again]").fill(`${passphrase}!`);
  await who.press("Set the passphrase");
  await dialog().getByText("The two are not the same.").waitFor();
  await dialog().locator("input[name=passphrase-again]").fill(passphrase);
  await who.press("Set the passphrase");
  await isClosed();
  await part().getByText("A passphrase", { exact: true }).waitFor();
}

/** Gives this browser a device that keeps passkeys and secrets, until somebody looks for hindrances. */
async function authenticator() {
  // This device would take the first that is offered beside a name, at once.
  await who.page.addInitScript(() => {
    if ("PublicKeyCredential" in window) PublicKeyCredential.isConditionalMediationAvailable = async () => false;
  });
  const { browser, authenticatorId } = await addAuthenticator(who.page);
  await browser.send("WebAuthn.removeVirtualAuthenticator", { authenticatorId });
  const kind = { protocol: "ctap2", ctap2Version: "ctap2_1", transport: "internal", hasResidentKey: true, hasPrf: true };
  const person = { hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
  await browser.send("WebAuthn.addVirtualAuthenticator", { options: { ...kind, ...person } });
}

/** Adds a passkey to the account. */
async function passkey() {
  await account();
  await who.press("Add a passkey");
  await who.page.locator(".passkeys input[name=password]").fill(password);
  await who.press("Go on");
  await who.page.getByText("Your passkey is added.").waitFor();
}

/** Becomes a device by the passkey. */
async function joinByPasskey() {
  await account();
  await who.press("Use it in this browser");
  await who.press("Use a passkey", dialog());
  await isClosed();
  await mine();
}

/** Locks it by a passkey that the account has. */
async function lockByPasskey() {
  await account();
  await who.press("Set a passphrase or passkey");
  await who.press("Use a passkey instead");
  await isClosed();
  await part().getByText("A passkey", { exact: true }).waitFor();
}

/** Another browser of the same person, which becomes a device by the passphrase where one is given. */
async function second({ name = "Ada elsewhere", passphrase = null, phone = false }) {
  const known = { user, password };
  await open({ url: home, name, phone });
  await signIn(known);
  await account();
  ensure((await state()).identity === "elsewhere", await state());
  await scrollTo(part());
  await look("identity-elsewhere");
  if (passphrase === null) return;
  await who.press("Use it in this browser");
  await dialog().locator("input[name=passphrase]").fill("not the passphrase");
  await who.press("Go on");
  await dialog().getByText("That is not the passphrase.").waitFor();
  await dialog().locator("input[name=passphrase]").fill(passphrase);
  await look("identity-join");
  await who.press("Go on");
  await isClosed();
  await mine();
}

const mine = () => who.sees('.account-inside[data-identity="mine"]');

/** Comes back by words, a recovery file or shares; `stay` says whether the other devices do. */
async function recover({ words = null, file: text = null, shares = null, stay = false }) {
  await account();
  await part().getByRole("button", { name: /^(Use it in this browser|Open it here)$/ }).press("Enter");
  if (words !== null) {
    await who.press("My twelve words");
    await dialog().locator("textarea").fill(words);
    await who.press("Go on");
  } else if (text !== null) {
    await who.press("My recovery file");
    const given = { name: "identity.json", mimeType: "application/json", buffer: Buffer.from(text) };
    await dialog().locator("input[type=file]").setInputFiles(given);
    await who.press("Go on");
  } else {
    await who.press("Shares of my friends");
    for (const share of shares) {
      await dialog().locator("textarea").fill(share);
      await who.press("Add it");
      await who.page.waitForFunction((typed) => document.querySelector("dialog textarea")?.value !== typed, share);
    }
  }
  await dialog().getByRole("button", { name: "Bring me back" }).waitFor();
  await look("identity-stay");
  for (const choice of stay ? await dialog().locator("input[name=stay]").all() : []) await choice.press("Space");
  await who.press("Bring me back");
  await dialog().getByText("You are back.").waitFor();
  await who.press("Not now");
  await isClosed();
  await mine();
}

/** Splits the words among friends, and gives the shares. */
async function guardians({ words, count, needed }) {
  await account();
  await who.page.locator(".identity-more summary").press("Enter");
  await who.press("Split my words");
  await dialog().locator("textarea").fill(words);
  await who.press("Go on");
  await dialog().locator("input[name=count]").fill(String(count));
  await dialog().locator("input[name=needed]").fill(String(needed));
  await who.press("Split them");
  await who.sees("dialog .share");
  await dialog().locator("input[name=guardian-1]").fill("Bob");
  await look("identity-guardians");
  const shares = await dialog().locator(".share").allInnerTexts();
  await who.press("I have given them out");
  await isClosed();
  return shares;
}

/** Makes new words, and gives them. */
async function newWords() {
  await account();
  await who.page.locator(".identity-more summary").press("Enter");
  await who.press("Make new words");
  const words = await shownWords();
  await confirmWords(words);
  await who.press("That is them");
  await isClosed();
  return words.join(" ");
}

async function renew() {
  await account();
  await who.page.locator(".identity-more summary").press("Enter");
  await scrollTo(who.page.locator(".identity-more"));
  await look("identity-more");
  await who.press("Renew the keys", part());
  await who.press("Renew the keys", dialog());
  await isClosed();
}

/** Removes the other devices, one after the other. */
async function remove() {
  await account();
  const remove = () => part().getByRole("button", { name: /^Remove the device/ });
  for (let left = await remove().count(); left > 0; left -= 1) {
    await remove().first().press("Enter");
    await who.press("Remove", dialog());
    await isClosed();
    while ((await remove().count()) >= left) await who.page.waitForTimeout(100);
  }
}

/** What the account says of the identity, and what the node does. */
async function state() {
  await account();
  const shown = await part().evaluate((it) => ({
    identity: it.dataset.identity,
    portable: it.dataset.portable === "true",
    devices: it.querySelectorAll(".identity-list:first-of-type li").length,
    text: it.innerText,
  }));
  const node = await who.page.evaluate(async () => {
    const { access_token: token } = JSON.parse(localStorage.getItem("wayside.session"));
    return (await fetch("/_wayside/v1/identity", { headers: { authorization: `Bearer ${token}` } })).json();
  });
  const { did, saved, log } = node;
  const documents = (log ?? "").split("\n").filter((line) => line !== "").map((line) => JSON.parse(line).state);
  return { ...shown, did, saved, versions: documents.length, authentication: documents.at(-1)?.authentication ?? [] };
}

/** A picture of the identity in the account. */
async function picture({ name = "identity-account" }) {
  await account();
  await scrollTo(part());
  await look(name);
}

/** Signs out; where the identity would be lost, the page says so first, and `anyway` answers it. */
async function signOut({ warned = false, anyway = false }) {
  await worlds();
  await who.press("Sign out");
  if (warned) {
    await dialog().getByText("nobody can ever bring this identity back").waitFor();
    await look("identity-leave");
    if (!anyway) {
      await who.press("Stay signed in");
      await isClosed();
      return who.sees(".worlds-head").then(() => null);
    }
    await who.press("Sign out, and lose it");
  }
  await who.sees(".welcome-card");
  const left = await who.page.evaluate(async () => {
    const all = (database, table) =>
      new Promise((resolve, reject) => {
        const opened = indexedDB.open(database);
        opened.onerror = () => reject(opened.error);
        opened.onsuccess = () => {
          const kept = opened.result;
          if (!kept.objectStoreNames.contains(table)) return resolve([]);
          const asked = kept.transaction(table).objectStore(table).getAllKeys();
          asked.onsuccess = () => resolve(asked.result);
        };
      });
    return [await all("wayside-person", "secrets"), await all("wayside-identity", "devices")];
  });
  ensure(left.flat().length === 0, left);
  return null;
}

async function leave() {
  await who.leave();
}

/** Back in a browser that was opened before. */
const people = new Map();

async function become({ name }) {
  who = people.get(name);
  ensure(who, `nobody is called ${name}`);
}

/** Notes who is there, so that a story can come back to them. */
async function opened(given) {
  await open(given);
  people.set(given.name ?? "Ada", who);
}

async function another(given) {
  await second(given);
  people.set(given.name ?? "Ada elsewhere", who);
}

await story({
  open: opened,
  become,
  signUp,
  signIn,
  card,
  later,
  save,
  file,
  lock,
  authenticator,
  passkey,
  lockByPasskey,
  joinByPasskey,
  second: another,
  recover,
  guardians,
  newWords,
  renew,
  remove,
  state,
  picture,
  signOut,
  leave,
});
