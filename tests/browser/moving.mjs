// Ada's home is gone: she makes an account on another node, and moves in there with the identity that she had.
import { atHome, downloaded, ensure, identityPage, register, saveAsFile, story } from "./lib.mjs";

const [WIDE, NARROW] = [{ width: 1280, height: 800 }, { width: 390, height: 844 }];

/** Her browser at the old home, and at the new one. */
const people = { old: null, new: null };
/** Where her new home is. */
let url = "";

const dialog = () => people.new.page.locator("dialog");

/** Signs in, where an account is made first if the story tells where the node takes that (`api`). */
async function at(name, home) {
  if (home.api) await register(home);
  return atHome(name, home);
}

/** Lives at her first home, and keeps her recovery file. */
async function settle({ home, name = "Ada" }) {
  const { person, did } = await at(name, home);
  people.old = person;
  return { did, file: await saveAsFile(person, "Save now") };
}

/** What is shown now, as on a desk and on a phone, with a place of it in sight; nothing of it hinders anybody. */
async function look(person, picture, place = null) {
  const before = person.page.viewportSize();
  for (const [size, kind] of [[WIDE, "wide"], [NARROW, "narrow"]]) {
    await person.page.setViewportSize(size);
    await place?.scrollIntoViewIfNeeded();
    await person.picture(picture, person.page, kind);
    await person.nothingHinders();
  }
  await person.page.setViewportSize(before);
}

/** Tells who she is: by the file, or by her words and her address of before. */
async function tell({ file, words, address, friends }) {
  await people.new.press("I come from another node");
  await look(people.new, "moving-begin");
  if (file) {
    await people.new.press("My recovery file");
    const given = { name: "identity.json", mimeType: "application/json", buffer: Buffer.from(file) };
    await dialog().locator("input[type=file]").setInputFiles(given);
  } else {
    await people.new.press("My twelve words");
    await dialog().locator("textarea[name=words]").fill(words);
    await dialog().locator("input[name=address]").fill(address);
  }
  await dialog().locator("textarea[name=friends]").fill((friends ?? []).join("\n"));
  await look(people.new, "moving-asked");
  await people.new.press("Look for me");
}

/** Makes an account at another home, and moves in. */
async function moveIn({ home, name = "Ada again", ...who }) {
  url = home.url;
  ({ person: people.new } = await at(name, home));
  await identityPage(people.new, url);
  await tell(who);
  await dialog().getByRole("heading", { name: "Is that you?" }).waitFor();
  const found = await dialog().innerText();
  await look(people.new, "moving-search");
  await people.new.press("Move in", dialog());
  await dialog().getByRole("heading", { name: "You live here now" }).waitFor();
  const told = await dialog().innerText();
  await look(people.new, "moving-done");
  const saved = await downloaded(people.new, "Save my recovery file");
  await people.new.press("Go on", dialog());
  await people.new.sees("dialog", "detached");
  await people.new.sees('.account-inside[data-identity="mine"][data-portable="true"]');
  await people.new.picture("moving-home");
  return { ...(await own()), found, told, file: saved };
}

/** Is not found, or not let in, and is told why; the account stays as it is. */
async function refused({ home, name = "Ada again", ...who }) {
  url = home.url;
  ({ person: people.new } = await at(name, home));
  await identityPage(people.new, url);
  await tell(who);
  const wrong = dialog().locator(".wrong:visible");
  const go = dialog().getByRole("button", { name: "Move in", exact: true });
  await wrong.or(go).first().waitFor();
  if (await go.isVisible()) await go.press("Enter");
  await wrong.waitFor();
  const told = await wrong.innerText();
  await look(people.new, "moving-refused", wrong);
  return { ...(await own()), told };
}

/** Who the account of the new home is. */
async function own() {
  return people.new.page.evaluate(async () => {
    const { access_token: token, user_id: account } = JSON.parse(localStorage.getItem("wayside.session"));
    const answer = await fetch("/_wayside/v1/identity", { headers: { authorization: `Bearer ${token}` } });
    const { did, saved, seal_key: sealKey } = await answer.json();
    return { did, account, saved, sealKey };
  });
}

/** Whom her list of friends shows at the new home, once so many are her friends again. */
async function friends({ count = 0 }) {
  await people.new.page.goto(url);
  await people.new.page.locator(".worlds-friends").press("Enter");
  const isAgain = ({ friends: now }) => now && now.list.filter(({ standing }) => standing === "friend").length >= count;
  const { friends: known } = await people.new.until("her friends", isAgain);
  await look(people.new, "moving-friends");
  return known;
}

/** Walks into a world from her new home. */
async function enter({ url: world }) {
  await people.new.page.goto(world);
  await people.new.press("Walk in");
  const { world: there } = await people.new.walking();
  await people.new.picture("moving-walking");
  return { world: there.name };
}

/** What her old home says of her, where it is there still. */
async function before({ url: old }) {
  const part = await identityPage(people.old, old);
  await people.old.sees('.account-inside[data-identity="ended"]');
  await part.evaluate((it) => it.closest(".account-part").scrollIntoView({ block: "start" }));
  await look(people.old, "moving-before");
  return { told: await part.innerText(), link: await part.locator("a").getAttribute("href") };
}

/** Closes her browser at one of the two. */
async function leave({ who = "new" }) {
  ensure(people[who], `she is not at the ${who} home`);
  await people[who].leave();
  people[who] = null;
}

await story({ settle, moveIn, refused, friends, enter, before, leave });
