// Ann comes with an account elsewhere: a provider of identities that others wrote vouches for her.
import { createServer } from "node:http";
import { listen, openClub } from "./club.mjs";
import { ensure, Person, story } from "./lib.mjs";

let ann = null;
let home = null;
let club = null;
/** Where a program on this machine waits for its people. */
let door = null;
const came = [];

/** The provider's address is known before the node starts, and the node's before anybody comes. */
async function open() {
  club = createServer();
  door = createServer((request, response) => {
    if (request.url.startsWith("/back")) came.push(new URL(request.url, "http://localhost"));
    response.setHeader("content-type", "text/html");
    response.end("<title>The program</title><h1>Back in the program</h1>");
  });
  await listen(door);
  return { issuer: `http://localhost:${await listen(club)}` };
}

async function arrive(given) {
  home = given.home;
  await openClub(club, given);
  ann = await Person.settle("Ann");
}

/** Says at the provider who one is, and lets it tell. */
async function vouch(login) {
  await ann.page.locator("input[name=login]").fill(login);
  await ann.page.locator("input[name=password]").fill("anything");
  await ann.press("Sign-in");
  await ann.press("Continue");
}

/** Waits until somebody is back on the node's own page, signed in. */
async function isHomeAs(person, userId) {
  await person.page.waitForURL(new URL("/", home).href);
  const who = await person.finds("an account", () => localStorage.getItem("wayside.session"));
  ensure(JSON.parse(who).user_id === userId, who);
}

/** Leaves from the page that says what broke on it. */
async function goHome() {
  await ann.page.goto(home);
  await ann.sees("main");
  await ann.leave();
}

function withTheClub() {
  return ann.page.getByRole("link", { name: "Sign in with The Club" }).press("Enter");
}

async function turnBack() {
  await ann.page.goto(home);
  await ann.press("I have an account");
  await ann.picture("providers-welcome");
  await withTheClub();
  await ann.page.getByRole("link", { name: "[ Cancel ]" }).press("Enter");
  await ann.page.getByText("You are not signed in").waitFor();
  await ann.picture("providers-refused");
}

async function becomeSomebody() {
  await ann.page.getByRole("link", { name: "Begin again" }).press("Enter");
  await ann.press("I have an account");
  await withTheClub();
  await vouch("ann");
  await ann.page.getByText("Hello, ann of the Club").waitFor();
  ensure(!ann.page.url().includes("code="), ann.page.url());
  await ann.picture("providers-newcomer");
  const name = ann.page.getByLabel("Name of your account");
  ensure((await name.inputValue()) === "ann", await name.inputValue());
  await ann.press("Make my account");
  await isHomeAs(ann, "@ann:a.test");
}

/** A program lets her choose how she signs in, and is let in only after she has said so. */
async function letIn() {
  const goal = `http://127.0.0.1:${door.address().port}/back?state=PROGRAM`;
  const url = new URL("/_matrix/client/v3/login/sso/redirect", home);
  url.searchParams.set("redirectUrl", goal);
  await ann.page.goto(url.href);
  const button = ann.page.getByRole("button", { name: "Sign in with The Club" });
  await button.waitFor();
  await ann.picture("providers-sign-in");
  await button.press("Enter");
  await ann.page.getByText("You are @ann:a.test.").waitFor();
  ensure(came.length === 0, "she was sent on without a word of hers");
  await ann.picture("providers-confirm");
  await ann.press("Go on");
  await ann.page.getByText("Back in the program").waitFor();
  const said = came.pop().searchParams;
  ensure(said.get("state") === "PROGRAM", `${said}`);
  const body = JSON.stringify({ type: "m.login.token", token: said.get("loginToken") });
  const answer = await fetch(new URL("/_matrix/client/v3/login", home), { method: "POST", body });
  const opened = await answer.json();
  ensure(answer.ok && opened.user_id === "@ann:a.test", opened);
}

/** A client that names the provider has her sent there at once. */
async function goStraight() {
  const url = new URL("/_matrix/client/v3/login/sso/redirect/club", home);
  url.searchParams.set("redirectUrl", `http://127.0.0.1:${door.address().port}/back?state=STRAIGHT`);
  await ann.page.goto(url.href);
  await ann.page.getByText("You are @ann:a.test.").waitFor();
  ensure(came.length === 0, "she was sent on without a word of hers");
  await goHome();
}

/** Whoever has an account of the node signs in to it once, and is known from then on. */
async function becomeKnown({ user, password }) {
  const bob = await Person.open("Bob", { locale: "de-DE" });
  ann = bob;
  await bob.page.goto(new URL("/sign-in?home=/&provider=club", home).href);
  await vouch("robert");
  await bob.press("Ich habe hier schon ein Konto");
  await bob.picture("providers-link");
  await bob.page.locator("input[name=username]").fill(user);
  await bob.page.locator("input[name=password]").fill("not the password");
  await bob.press("Anmelden und merken");
  await bob.sees(".wrong");
  await bob.page.locator("input[name=password]").fill(password);
  await bob.press("Anmelden und merken");
  await isHomeAs(bob, "@bob:a.test");
}

/** What one browser began, another cannot end. */
async function meetThieves() {
  await ann.page.goto(new URL("/sign-in/return?code=x&state=club.a.1.b", home).href);
  await ann.page.getByText("Du bist nicht angemeldet").waitFor();
  await ann.page.evaluate(() => sessionStorage.clear());
  await ann.page.goto(new URL("/sign-in/return?code=x&state=club.a.1.b", home).href);
  await ann.page.getByText("in einem anderen Tab oder Browser begonnen").waitFor();
  club.close();
  door.close();
  await goHome();
}

await story({ open, arrive, turnBack, becomeSomebody, letIn, goStraight, becomeKnown, meetThieves });
