// Makes the account of an invitation through the Matrix client API and shows how to go on.
"use strict";

const field = (id) => document.getElementById(id);
// Not there where the invitation is over.
const form = field("join");
const guest = form === null || form.dataset.role === "guest";
// Where a guest's account is kept, who has nothing else to come back by.
const SESSION = "wayside.session";

let account = null;

async function ask(method, path, body, token) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const reply = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const said = await reply.json();
  if (!reply.ok) throw new Error(said.error || `the node answered ${reply.status}`);
  return said;
}

async function join() {
  const auth = { type: "m.login.registration_token", token: form.dataset.invitation };
  const wish = { auth, initial_device_display_name: "Web page" };
  if (!guest) {
    wish.username = field("name").value.trim().toLowerCase();
    wish.password = field("password").value;
  }
  const account = await ask("POST", `/_matrix/client/v3/register${guest ? "?kind=guest" : ""}`, wish);
  const shown = field("shown").value.trim();
  if (shown) {
    const user = encodeURIComponent(account.user_id);
    await ask("PUT", `/_matrix/client/v3/profile/${user}/displayname`, { displayname: shown }, account.access_token);
  }
  // The page is no app: a member signs in from one, so this session ends. A guest has nothing but it.
  if (guest) localStorage.setItem(SESSION, JSON.stringify(account));
  else await ask("POST", "/_matrix/client/v3/logout", {}, account.access_token);
  return account;
}

// Does what a form is for, one at a time, and says beside it what went wrong.
function onSubmit(form, wrong, deed) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    wrong.hidden = true;
    button.disabled = true;
    try {
      await deed();
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
}

// Shows somebody that they are in, and a guest how to stay.
function welcome() {
  field("asking").hidden = true;
  field("who").textContent = account.user_id;
  // For the browser's own list of passwords.
  field("keep-name").value = account.user_id;
  field("keep").hidden = !guest;
  field("member-note").hidden = guest;
  field("welcome").hidden = false;
  field("welcome").focus();
}

// A guest who comes back, to a link that may be used up, is still the same guest.
async function comeBack() {
  const kept = JSON.parse(localStorage.getItem(SESSION));
  if (!guest || !kept) return;
  try {
    await ask("GET", "/_matrix/client/v3/account/whoami", undefined, kept.access_token);
  } catch {
    return;
  }
  account = kept;
  welcome();
}

if (form) {
  for (const part of ["name", "password"]) {
    field(`${part}-part`).hidden = guest;
    field(part).required = !guest;
  }
  onSubmit(form, field("wrong"), async () => {
    account = await join();
    welcome();
  });
}

onSubmit(field("keep"), field("keep-wrong"), async () => {
  const password = field("keep-password").value;
  const wish = { password };
  // There only where the node wants one: a link, or the text at its end.
  const shown = document.getElementById("keep-invitation");
  if (shown) wish.invitation = shown.value.trim().split("/").pop();
  await ask("POST", "/_wayside/v1/account/keep", wish, account.access_token);
  localStorage.removeItem(SESSION);
  field("keep").hidden = true;
  field("member-note").hidden = false;
});

comeBack();
