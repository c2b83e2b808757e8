// The ways of those whose home is another node: where that is, to sign in by it here, or to visit from there.
import { ApiError } from "../api/http";
import { homeAt, type NodeInfo } from "../api/node";
import { type Key, loadMore, t } from "../i18n";
import { type Address, pageAt } from "../travel/address";
import { busy, field, h, say } from "../ui/dom";
import { words } from "../ui/errors";
import { leaveForHome } from "./away";

const KEY = "wayside.home";
const HOST = /^[a-z0-9.-]+(?::\d{1,5})?$/;
const LETTERS = 1_024;

/** Where somebody goes to, and comes back to. */
export interface HomeErrand {
  node: NodeInfo;
  page: URL;
  /** Whether they confirm something with it. */
  confirm: boolean;
}

/** What the place with the way to somebody's home says, and what it does. */
interface Errand {
  node: NodeInfo;
  open: Key;
  /** To a home that is known, with its name. */
  known: Key;
  hint: Key;
  /** How loud the first button is. */
  look: "secondary" | "quiet";
  leave(home: string): Promise<void>;
}

/** The home that opened something here from this browser before. */
export function knownHome(): string | null {
  const home = localStorage.getItem(KEY);
  return home !== null && home.length <= LETTERS && HOST.test(home) ? home : null;
}

export function rememberHome(home: string): void {
  try {
    localStorage.setItem(KEY, home);
  } catch {
    // A browser that keeps nothing asks again the next time.
  }
}

/** The field for somebody's home. */
export function homeField(value = knownHome() ?? "", hint: Key = "home.hint"): ReturnType<typeof field> {
  const attrs = { name: "home", autocomplete: "off", autocapitalize: "none", spellcheck: "false", inputmode: "url" };
  return field(t("home.where"), { ...attrs, maxlength: LETTERS, required: true, value }, t(hint));
}

/** What went wrong on the way to a home, and what can be done about it. */
export function homeWords(error: unknown, home: string, node: NodeInfo): string {
  const status = error instanceof ApiError ? error.status : 0;
  if (status === 400) return isHere(home, node) ? t("home.here") : t("home.invalid");
  if (status === 404) return t("home.nobody");
  return status === 502 || status === 504 ? t("home.silent") : words(error);
}

function isHere(home: string, node: NodeInfo): boolean {
  const [bare] = home.trim().replace(/^https?:\/\//i, "").replace(/^@[^:]*:/, "").split("/");
  return [location.host, node.server_name].includes((bare ?? "").toLowerCase());
}

/** Fills a place with the way to somebody's home, where the node takes identities from elsewhere. */
export async function homeDoor(place: HTMLElement, { node, page, confirm }: HomeErrand): Promise<void> {
  const leave = (home: string): Promise<void> => leaveForHome(home, page, confirm);
  // Of what confirms something there may be nothing else on the card.
  await fill(
    place,
    confirm
      ? { node, open: "home.confirm", known: "home.confirm_as", hint: "home.hint", look: "secondary", leave }
      : { node, open: "home.with", known: "home.continue", hint: "home.hint", look: "quiet", leave },
  );
}

/** Fills a place with the way into a world from somebody's home, whose page lets them in there as whom they are. */
export async function visitDoor(place: HTMLElement, node: NodeInfo, address: Address): Promise<void> {
  const leave = async (typed: string): Promise<void> => {
    const home = new URL((await homeAt(typed)).url);
    rememberHome(home.host);
    location.assign(pageAt(home.href, address));
  };
  await fill(place, { node, open: "home.visit", known: "home.visit_from", hint: "home.visit_hint", look: "quiet", leave });
}

async function fill(place: HTMLElement, errand: Errand): Promise<void> {
  if (!errand.node.dids) return;
  await loadMore("passkeys");
  closed(place, errand);
}

/** One button, and another where it is known whose home is where. */
function closed(place: HTMLElement, errand: Errand): void {
  const home = knownHome();
  const text = t(home === null ? errand.open : "home.other");
  const open = h("button", { class: errand.look, text, attrs: { type: "button" } });
  open.addEventListener("click", () => asking(place, errand));
  if (home === null) return place.replaceChildren(open);
  const go = h("button", { class: "secondary", text: t(errand.known, { home }), attrs: { type: "button" } });
  go.addEventListener("click", () => {
    const failed = (error: unknown): void => asking(place, errand, home, homeWords(error, home, errand.node));
    void busy(go, () => errand.leave(home).catch(failed));
  });
  place.replaceChildren(go, open);
}

function asking(place: HTMLElement, errand: Errand, value = "", said: string | null = null): void {
  const home = homeField(value, errand.hint);
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const go = h("button", { class: "primary", text: t("home.go"), attrs: { type: "submit" } });
  const back = h("button", { class: "quiet", text: t("passkey.back"), attrs: { type: "button" } });
  const form = h("form", { class: "form" }, home.row, wrong, go, back);
  back.addEventListener("click", () => {
    closed(place, errand);
    place.querySelector("button")?.focus();
  });
  home.input.addEventListener("input", () => say(wrong, null));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    say(wrong, null);
    const typed = home.input.value.trim();
    void busy(go, () => errand.leave(typed).catch((error: unknown) => tell(homeWords(error, typed, errand.node))));
  });
  const tell = (text: string | null): void => {
    say(wrong, text);
    wrong.scrollIntoView({ block: "nearest" });
  };
  place.replaceChildren(form);
  tell(said);
  home.input.focus();
}
