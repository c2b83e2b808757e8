// Moving in, once it is known who somebody was: they are looked for, see what comes along, and arrive.
import { NAME_LETTERS } from "../../api/friends";
import { ApiError } from "../../api/http";
import { localpart } from "../../api/session";
import { clean } from "../../api/text";
import { writeRecoveryFile } from "../../identity/recovery";
import type { Companion, Luggage } from "../../identity/luggage";
import { list, t } from "../../i18n";
import type { Answer, Came, Found } from "../../person";
import { livesAt } from "../../person/overview";
import { h } from "../dom";
import { sentence } from "../errors";
import { type Icon, icon } from "../icons";
import { identityWords } from "./errors";
import type { Moving, Told } from "./moving";
import { attempt, download, form, hint, quiet, tell } from "./steps";
import { dayOf, didWithPlace, hostOf } from "./written";

/** Looks for somebody, and shows whom it asks and what each of them says. */
export async function search(moving: Moving, told: Told, back: () => void): Promise<void> {
  const { dialog, own } = moving;
  const rows = h("ul", { class: "identity-asked", attrs: { "aria-live": "polite", "aria-busy": "true" } }, ...waitingFor(told));
  const below = h("div", { class: "identity-step" }, hint(t("identity.moving.patience")));
  dialog.show(t("identity.moving.searching"), rows, below);
  let isTold = false;
  const heard = (answers: readonly Answer[]): void => {
    isTold = answers.length > 0;
    if (isTold) rows.replaceChildren(...answers.map(answered));
  };
  try {
    const found = await own.seek({ ...told, known: told.file?.log ?? null }, heard);
    // Whoever has closed the dialog wants none of it.
    if (!rows.isConnected) return;
    dialog.show(t("identity.moving.found"), ...foundStep(moving, told, found, rows, back));
  } catch (error) {
    if (!rows.isConnected) return;
    below.replaceChildren(h("p", { class: "wrong", text: identityWords(error), attrs: { role: "alert" } }), ...ways(moving, told, back));
  } finally {
    rows.removeAttribute("aria-busy");
    if (!isTold) for (const row of rows.children) row.replaceWith(answered({ server: row.getAttribute("data-server") ?? "", found: false, why: "" }));
  }
}

function ways(moving: Moving, told: Told, back: () => void): Node[] {
  return [quiet(t("identity.again"), () => void search(moving, told, back), "primary"), quiet(t("identity.back"), back)];
}

/** Those that are known to be asked: the node may find more. */
function waitingFor({ name, file, at }: Told): Node[] {
  const old = name.startsWith("@") ? serverOf(name) : hostOf(file?.log.did ?? name);
  const servers = [...new Set([old, ...at.map(serverOf)])];
  return servers.map((server) => askedRow(server, "dots", t("identity.moving.asking")));
}

/** The server of an account, or what is one itself. */
const serverOf = (name: string): string => (name.startsWith("@") ? name.slice(name.indexOf(":") + 1) : name);

function answered({ server, found, why }: Answer): HTMLElement {
  const row = askedRow(server, found ? "check" : "close", t(found ? "identity.moving.has" : "identity.moving.has_not"));
  row.classList.toggle("good", found);
  if (why !== "") row.querySelector("div")?.append(h("p", { class: "hint", text: why }));
  return row;
}

function askedRow(server: string, sign: Icon, text: string): HTMLElement {
  const name = h("b", { text: server, attrs: { translate: "no" } });
  return h("li", { attrs: { "data-server": server } }, icon(sign), h("div", {}, name, " ", h("span", { text })));
}

function foundStep(moving: Moving, told: Told, found: Found, rows: HTMLElement, back: () => void): Node[] {
  const luggage = found.opened.luggage;
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const deed = async (): Promise<void> => {
    try {
      arrived(moving, await moving.own.moveIn({ entropy: told.entropy, log: found.log, luggage }), luggage);
    } catch (error) {
      tell(wrong, refusalWords(error));
    }
  };
  const content = [
    whoIs(told, found),
    ...luggageIn(found),
    kept("identity.moving.comes", "check", [
      t("identity.moving.comes_identity"),
      ...(luggage ? [t("identity.moving.comes_friends"), t("identity.moving.comes_blocked"), t("identity.moving.comes_name"), t("identity.moving.comes_given")] : []),
    ]),
    kept("identity.moving.back", "back", [t("identity.moving.back_rooms"), t("identity.moving.back_powers")]),
    kept("identity.moving.stays", "close", [t("identity.moving.stays_worlds"), t("identity.moving.stays_messages"), t("identity.moving.stays_keys")]),
    more(t("identity.moving.who_asked"), rows),
    ...(moving.givesWay ? [hint(t("identity.moving.gives_way"))] : []),
    wrong,
  ];
  return [form(content, t("identity.moving.do"), deed, [quiet(t("identity.back"), back)])];
}

/** Who it is that was found, as their history tells it. */
function whoIs({ name, file }: Told, { log, isFromFile }: Found): HTMLElement {
  const lives = livesAt(log);
  const { number, timeMs } = log.last;
  const place = hostOf(log.did);
  const account = lives?.account ?? "";
  // What they were called when they saved or wrote down who they are.
  const isElsewhere = name.startsWith("@") ? name !== account : name !== log.did;
  return h(
    "div",
    { class: "identity-found" },
    h("strong", { text: account, attrs: { translate: "no" } }),
    h("code", { text: didWithPlace(log.did), attrs: { title: log.did, translate: "no" } }),
    h("p", { class: "hint", text: t("identity.moving.history", { place, count: number, when: dayOf(timeMs) }) }),
    isElsewhere && caution(t("identity.moving.moved_on", { place, account })),
    isFromFile && file && caution(t("identity.moving.from_file", { when: dayOf(file.savedMs) })),
  );
}

const caution = (text: string): HTMLElement => h("p", { class: "identity-mark" }, icon("caution"), h("span", { text }));

function luggageIn({ opened }: Found): Node[] {
  if (!opened.luggage) return [caution(t(`identity.moving.bare_${opened.why}`))];
  const { friends, blocked, packedMs } = opened.luggage;
  const counts = t("identity.moving.luggage", { friends: friends.length, blocked: blocked.length, when: dayOf(packedMs) });
  const said = h("p", { class: "identity-mark good" }, icon("verified"), h("span", { text: counts }));
  const groups = [people(t("identity.moving.friends_in"), friends), people(t("identity.moving.blocked_in"), blocked)].filter((it) => it !== null);
  if (groups.length === 0) return [said];
  return [said, more(t("identity.moving.who"), ...groups)];
}

/** What is shown to whoever wants to know. */
function more(title: string, ...content: Node[]): HTMLElement {
  const summary = h("summary", {}, h("span", { text: title }), icon("more"));
  return h("details", { class: "identity-more" }, summary, ...content);
}

function people(title: string, all: readonly Companion[]): HTMLElement | null {
  if (all.length === 0) return null;
  const rows = all.map((one) => h("li", {}, h("b", { text: nameOf(one) }), h("span", { text: clean(one.account, NAME_LETTERS * 2) })));
  return h("section", { class: "identity-people" }, h("h3", { text: title }), h("ul", {}, ...rows));
}

const nameOf = ({ name, account }: Companion): string => clean(name, NAME_LETTERS) || clean(localpart(account), NAME_LETTERS);

function kept(title: "identity.moving.comes" | "identity.moving.back" | "identity.moving.stays", sign: Icon, all: readonly string[]): HTMLElement {
  const rows = all.map((text) => h("li", {}, icon(sign), h("span", { text })));
  return h("section", { class: sign === "check" ? "identity-kept good" : "identity-kept" }, h("h3", { text: t(title) }), h("ul", {}, ...rows));
}

/** Why the node does not take somebody in. */
function refusalWords(error: unknown): string {
  if (!(error instanceof ApiError)) return identityWords(error);
  if (error.code === "M_FORBIDDEN") return t("identity.moving.has_own");
  if (error.code === "M_INVALID_PARAM") return t("identity.moving.refused", { why: sentence(error.message) });
  return identityWords(error);
}

/** Says what has come, and offers the recovery file anew. */
function arrived({ dialog, session }: Moving, came: Came, luggage: Luggage | null): void {
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const file = quiet(t("identity.moving.save_file"), () => attempt(file, wrong, keepFile), "primary");
  const keepFile = async (): Promise<void> => {
    const { recovery, log, copies } = came;
    const name = session.name.trim() || session.userId;
    const home = livesAt(log)?.address ?? location.origin;
    const text = await writeRecoveryFile({ name, home, recovery, log, copies, savedMs: Date.now() });
    download(text, `wayside-identity-${localpart(session.userId)}.json`, "application/json");
    file.textContent = t("identity.moving.save_again");
    file.className = "secondary";
    done.className = "primary";
  };
  const done = quiet(t("identity.join_do"), () => dialog.done(t("identity.moving.welcome", { account: came.account })), "secondary");
  dialog.show(
    t("identity.moving.done"),
    h("p", { class: "identity-said", text: t("identity.moving.welcome", { account: came.account }), attrs: { role: "status" } }),
    ...cameAlong(came, luggage),
    hint(t("identity.moving.file_old")),
    wrong,
    file,
    done,
  );
}

function cameAlong({ unpacked, isLate }: Came, luggage: Luggage | null): Node[] {
  if (!luggage) return [hint(t("identity.moving.came_bare"))];
  if (isLate) return [caution(t("identity.moving.came_late"))];
  if (!unpacked) return [caution(t("identity.moving.came_refused"))];
  const { friends, blocked, credentials, failed } = unpacked;
  const known = new Map([...luggage.friends, ...luggage.blocked].map((one) => [one.account, nameOf(one)]));
  const names = failed.map((account) => known.get(account) ?? clean(account, NAME_LETTERS));
  const row = (sign: Icon, text: string): HTMLElement => h("li", {}, icon(sign), h("span", { text }));
  const rows = h(
    "ul",
    {},
    row("check", t("identity.moving.came_identity")),
    row("people", t("identity.moving.came_friends", { count: friends })),
    row("shield", t("identity.moving.came_blocked", { count: blocked })),
    ...(credentials > 0 ? [row("badge", t("identity.moving.came_given", { count: credentials }))] : []),
  );
  const missing = names.length === 0 ? [] : [caution(t("identity.moving.came_failed", { names: list(names) }))];
  return [h("section", { class: "identity-kept good" }, rows), ...missing];
}
