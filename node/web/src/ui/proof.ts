// Showing who one is before something is changed that opens the account, and forms in place of a list.
import type { ApiError } from "../api/http";
import { confirmByPasskey } from "../api/passkeys";
import { asksForProof, proven, waysOf } from "../api/proof";
import type { Session } from "../api/session";
import { t } from "../i18n";
import { busy, field, h, say } from "./dom";
import { confirmOnPage } from "./elsewhere";
import { icon } from "./icons";
import { passkeyWords } from "./passkey";

/** Something that is done once its doer has shown who they are. */
export interface Deed {
  title: string;
  lead: string;
  button: string;
  run(auth: object): Promise<unknown>;
  /** What is said when it was done. */
  done: string;
}

/** Where it happens: a part of the settings. */
export interface Place {
  session: Session;
  /** Holds the list, or a form in its place. */
  inside: HTMLElement;
  status: HTMLElement;
  /** Shows the list again, and says this beside it. */
  list(said: string): Promise<void>;
}

/** Learns from the node which proofs it takes, and asks for one of them. */
export function prove(place: Place, deed: Deed, button: HTMLButtonElement): void {
  const { status } = place;
  say(status, null);
  void busy(button, () => attempt(place, deed).catch((error: unknown) => say(status, passkeyWords(error))));
}

/** The same for a button that minds itself. */
export async function attempt(place: Place, deed: Deed): Promise<void> {
  try {
    await deed.run({});
    await place.list(deed.done);
  } catch (error) {
    if (!asksForProof(error)) throw error;
    confirm(place, deed, error);
  }
}

function confirm(place: Place, deed: Deed, refusal: ApiError): void {
  const { session, list } = place;
  const ways = waysOf(refusal);
  const secret = { type: "password", name: "password", autocomplete: "current-password", maxlength: 512, required: true };
  const password = field(t("welcome.password"), secret);
  // For the browser's own list of passwords.
  const user = h("input", { attrs: { autocomplete: "username", value: session.userId, hidden: true } });
  const by = (auth: () => Promise<object> | object) => async (): Promise<void> => {
    await deed.run(await auth());
    await list(deed.done);
  };
  const others: Other[] = [];
  if (ways.passkey) {
    const shown = async (): Promise<object> => proven(session.userId, await confirmByPasskey(session), refusal);
    others.push({ button: [icon("key"), t("passkey.use")], deed: by(shown) });
  }
  const onPage = async (): Promise<object> => {
    const session = String(refusal.body.session);
    await confirmOnPage(session);
    return { auth: { session } };
  };
  // Whoever has a password needs no second page for it.
  if (ways.page && !ways.password) {
    others.push({ button: [t("passkey.on_page")], deed: by(onPage) });
  }
  const auth = (): object => proven(session.userId, { password: password.input.value }, refusal);
  const first = ways.password ? { text: deed.button, deed: by(auth) } : null;
  form(place, deed.title, deed.lead, ways.password ? [user, password.row] : [], first, others);
  if (ways.password) password.input.focus();
}

/** A button beside that of the form. */
interface Other {
  button: (Node | string)[];
  deed: () => Promise<void>;
}

/** A form in place of the list, with the way back to it. */
export function form(
  { inside, list }: Place,
  title: string,
  lead: string | null,
  rows: Node[],
  first: { text: string; deed: () => Promise<void> } | null,
  others: Other[] = [],
): void {
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const does = (button: HTMLButtonElement, what: () => Promise<void>): void => {
    say(wrong, null);
    void busy(button, () => what().catch((error: unknown) => {
      say(wrong, refused(error));
      wrong.scrollIntoView({ block: "nearest" });
    }));
  };
  const go = first && h("button", { class: "primary", text: first.text, attrs: { type: "submit" } });
  const buttons = others.map(({ button, deed }) => {
    const element = h("button", { class: "secondary", attrs: { type: "button" } }, ...button);
    element.addEventListener("click", () => does(element, deed));
    return element;
  });
  const back = h("button", { class: "quiet", text: t("passkey.back"), attrs: { type: "button" } });
  back.addEventListener("click", () => void list(""));
  const hint = lead !== null && h("p", { class: "hint", text: lead });
  const element = h("form", { class: "form" }, h("h3", { text: title }), hint, ...rows, wrong, go, ...buttons, back);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    if (go) does(go, first.deed);
  });
  inside.replaceChildren(element);
}

/** A proof that was refused is one that was wrong, and not a session that is over. */
function refused(error: unknown): string {
  return asksForProof(error) ? t("passkey.unproven") : passkeyWords(error);
}
