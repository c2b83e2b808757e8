// Ann lets programs and a device in, on the node's own page.
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { ensure, Person, story } from "./lib.mjs";

const DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code";

let ann = null;
let home = null;
let password = null;
let metadata = null;
let clientId = null;
/** Where programs on this machine wait for their people to come back. */
let door = null;
let came = [];

async function api(url, { form = null, json = null, token = null } = {}) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const body = form ? new URLSearchParams(form) : json ? JSON.stringify(json) : undefined;
  const answer = await fetch(new URL(url, home), { method: body ? "POST" : "GET", headers, body });
  return { status: answer.status, body: await answer.json() };
}

async function arrive(given) {
  ({ home, password } = given);
  ann = await Person.settle("Ann");
  door = createServer((request, response) => {
    if (request.url.startsWith("/back")) came.push(new URL(request.url, "http://localhost"));
    response.setHeader("content-type", "text/html");
    response.end("<title>The program</title><h1>Back in the program</h1>");
  });
  door.listen(0, "127.0.0.1");
  await once(door, "listening");
  metadata = (await api("/_matrix/client/v1/auth_metadata")).body;
  const said = {
    client_name: "Lantern",
    client_uri: "https://lantern.example/",
    application_type: "native",
    redirect_uris: ["http://127.0.0.1/back"],
    grant_types: ["authorization_code", "refresh_token", DEVICE_GRANT],
    token_endpoint_auth_method: "none",
  };
  const { status, body } = await api(metadata.registration_endpoint, { json: said });
  ensure(status === 201, body);
  clientId = body.client_id;
}

/** What a program does that wants to be let in as a device, and the way back from it. */
function asking(device, more = {}) {
  const verifier = randomBytes(32).toString("base64url");
  const redirect = `http://127.0.0.1:${door.address().port}/back`;
  const url = new URL(metadata.authorization_endpoint);
  const asked = {
    client_id: clientId,
    redirect_uri: redirect,
    response_type: "code",
    scope: `urn:matrix:client:api:* urn:matrix:client:device:${device}`,
    state: device,
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    ...more,
  };
  for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value);
  const exchange = (code) =>
    api(metadata.token_endpoint, {
      form: { grant_type: "authorization_code", client_id: clientId, redirect_uri: redirect, code, code_verifier: verifier },
    });
  return { url: url.href, exchange };
}

async function whoIs(token) {
  return (await api("/_matrix/client/v3/account/whoami", { token })).body;
}

async function signIn(button) {
  await ann.page.getByLabel("Name", { exact: true }).fill("ann");
  await ann.page.getByLabel("Password", { exact: true }).fill(password);
  await ann.press(button);
}

async function backAs(device) {
  await ann.page.getByText("Back in the program").waitFor();
  const url = came.pop();
  ensure(url?.searchParams.get("state") === device, `${url}`);
  return url.searchParams;
}

async function letIn() {
  const { url, exchange } = asking("PROGRAM001");
  await ann.page.goto(url);
  const card = await ann.sees("main.card h1");
  ensure((await card.innerText()) === "Lantern asks to act for you", await card.innerText());
  const words = await (await ann.sees("main.card")).innerText();
  ensure(words.includes("lantern.example") && words.includes(`127.0.0.1:${door.address().port}`), words);
  await ann.picture("letting-in");
  await ann.page.getByLabel("Name", { exact: true }).fill("ann");
  await ann.page.getByLabel("Password", { exact: true }).fill("not the password");
  await ann.press("Sign in and go on");
  ensure((await (await ann.sees(".wrong")).innerText()) === "The name or the password is wrong.");
  ensure(came.length === 0, came);
  await signIn("Sign in and go on");
  const { status, body } = await exchange((await backAs("PROGRAM001")).get("code"));
  ensure(status === 200, body);
  const who = await whoIs(body.access_token);
  ensure(who.user_id === "@ann:a.test" && who.device_id === "PROGRAM001", who);
}

async function turnAway() {
  await ann.page.goto(asking("PROGRAM002").url);
  await ann.press("Do not let it in");
  const said = await backAs("PROGRAM002");
  ensure(said.get("error") === "access_denied" && !said.has("code"), `${said}`);
}

/** Whoever has no account makes one on the way. */
async function becomeSomebody() {
  const { url, exchange } = asking("PROGRAM003", { prompt: "create" });
  await ann.page.goto(url);
  await ann.page.getByLabel("Your name").fill("Bea");
  await ann.page.getByLabel("Choose a password").fill(password);
  await ann.picture("letting-in-new");
  await ann.press("Make an account and go on");
  const { body } = await exchange((await backAs("PROGRAM003")).get("code"));
  const who = await whoIs(body.access_token);
  ensure(who.user_id === "@bea:a.test", who);
}

async function linkDevice() {
  const scope = "urn:matrix:client:api:* urn:matrix:client:device:TELEVISION";
  const begin = () => api(metadata.device_authorization_endpoint, { form: { client_id: clientId, scope } });
  const poll = (begun) =>
    api(metadata.token_endpoint, {
      form: { grant_type: DEVICE_GRANT, client_id: clientId, device_code: begun.device_code },
    });
  const { body: begun } = await begin();
  await ann.page.goto(begun.verification_uri);
  await ann.page.getByLabel("Code").fill("BCDF-BCDF");
  await ann.press("Next");
  await ann.sees(".wrong");
  await ann.page.getByLabel("Code").fill(begun.user_code.toLowerCase());
  await ann.picture("letting-in-code");
  await ann.press("Next");
  await ann.page.getByText("Lantern on another device asks to act for you").waitFor();
  await signIn("Sign in and let it in");
  await ann.page.getByText("It is in").waitFor();
  await ann.picture("letting-in-device");
  const who = await whoIs((await poll(begun)).body.access_token);
  ensure(who.user_id === "@ann:a.test" && who.device_id === "TELEVISION", who);

  const { body: other } = await begin();
  await ann.page.goto(other.verification_uri_complete);
  await ann.press("Next");
  await ann.press("Do not let it in");
  await ann.page.getByText("It stays outside").waitFor();
  ensure((await poll(other)).body.error === "access_denied");
}

/** A client of before OAuth opens the same page, and gets a login token. */
async function goByOldWays() {
  const goal = `http://127.0.0.1:${door.address().port}/back?state=OLD`;
  const url = new URL("/_matrix/client/v3/login/sso/redirect", home);
  url.searchParams.set("redirectUrl", goal);
  await ann.page.goto(url.href);
  await ann.page.getByText("127.0.0.1 asks to act for you").waitFor();
  await signIn("Sign in and go on");
  const token = (await backAs("OLD")).get("loginToken");
  const { status, body } = await api("/_matrix/client/v3/login", { json: { type: "m.login.token", token } });
  ensure(status === 200 && body.user_id === "@ann:a.test", body);
}

/** Whoever has forgotten a password chooses a new one, by a link that the operator gives. */
async function forget({ link }) {
  await ann.page.goto(link);
  const words = await (await ann.sees("main.card form")).innerText();
  ensure(words.includes("Choose a password"), words);
  ensure((await (await ann.sees("main.card .lead")).innerText()).startsWith("For @ann:a.test."));
  await ann.picture("letting-in-reset");
  password = "a new one that she will remember";
  await ann.page.getByLabel("Choose a password").fill(password);
  await ann.press("Set my password");
  await ann.page.getByText("Your new password is set.").waitFor();
  await ann.page.goto(link);
  await ann.page.getByText("This link does not work").waitFor();
}

/** A program that wants people sent elsewhere than it said sends nobody anywhere. */
async function meetLiars() {
  await ann.page.goto(asking("PROGRAM004", { redirect_uri: "https://evil.example/" }).url);
  await ann.page.getByText("This link does not work").waitFor();
  const words = await ann.page.locator("main.card").innerText();
  ensure(words.includes("redirect_uri"), words);
  ensure((await ann.page.locator("input").count()) === 0, "it asks for a password all the same");
  await ann.picture("letting-in-broken");
  await ann.page.goto(new URL("/sign-in", home).href);
  await ann.page.getByText("Nobody asks for anything here.").waitFor();
  door.close();
  await ann.page.goto(home);
  await ann.sees(".welcome-card");
  await ann.leave();
}

await story({ arrive, letIn, turnAway, becomeSomebody, linkDevice, forget, goByOldWays, meetLiars });
