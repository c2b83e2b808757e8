// The page before a door that does not open: there is no such world, it is not for whoever asks, or nobody answers.
import type { NamedAsk } from "../api/asks";
import { ApiError } from "../api/http";
import type { NodeInfo } from "../api/node";
import type { Session } from "../api/session";
import { t } from "../i18n";
import { isLacking } from "../travel/host";
import { asksLine } from "./asks";
import { busy, h } from "./dom";
import { words } from "./errors";
import { icon } from "./icons";
import { brand, scenery, screen } from "./shell";

/** Why it does not open, and what helps. */
export interface Why {
  about: string;
  /** Whether an invitation would open it. */
  isPrivate: boolean;
  /** Whether it is put right on the page of the account. */
  toAccount: boolean;
}

/** A door before which somebody stands. */
export interface Door {
  why: Why;
  /** Of what they hold none, where that is why it does not open. */
  asks: readonly NamedAsk[];
  /** Whether they have tried it again. */
  still: boolean;
}

export interface ClosedDoors {
  /** Looks whether it opens by now. */
  again(): Promise<void>;
  /** Goes to the list of worlds. */
  list(): void;
}

/** Why a door of this node does not open; null is that there is no such world for whoever asks. */
export function whyHere(error: unknown): Why {
  if (isLacking(error)) return { about: t("closed.lacking"), isPrivate: false, toAccount: false };
  // A node does not tell what is not there from what is not for somebody.
  const isPrivate = error === null || (error instanceof ApiError && (error.status === 404 || error.code === "M_FORBIDDEN"));
  return { about: isPrivate ? t("closed.about") : words(error), isPrivate, toAccount: false };
}

export function closedPage(node: NodeInfo, session: Session, { why, asks, still }: Door, doors: ClosedDoors): void {
  const { about, isPrivate, toAccount } = why;
  const line = asksLine(asks);
  const state = h("p", { class: "hint", attrs: { role: "status" } });
  const account = h("a", { class: "primary", text: t("settings.account"), attrs: { href: "/account" } });
  const again = h("button", { class: toAccount ? "secondary" : "primary", text: t("closed.again"), attrs: { type: "button" } });
  again.addEventListener("click", () => void busy(again, () => doors.again()));
  const list = h("button", { class: "quiet", text: t("over.worlds"), attrs: { type: "button" } });
  list.addEventListener("click", doors.list);
  const card = h(
    "main",
    { class: "card welcome-card closed-card" },
    icon("lock"),
    h("h1", { text: t("closed.title") }),
    h("p", { class: "lead", text: about }),
    line && h("p", { class: "lead" }, line),
    isPrivate && h("p", { class: "lead", text: t(session.guest ? "closed.guest" : "closed.who") }),
    isPrivate && h("p", { class: "address", text: session.userId }),
    toAccount && account,
    again,
    state,
    list,
  );
  screen("welcome", scenery(), h("div", { class: "welcome" }, brand(node.name), card));
  (toAccount && !still ? account : again).focus();
  // What is written into a page that is there already is read out.
  if (still) requestAnimationFrame(() => (state.textContent = t("closed.still")));
}

/** The page while another node is asked whether it opens. */
export function askingPage(node: NodeInfo, title: string, lead: string, back: () => void): void {
  const button = h("button", { class: "quiet", text: t("loading.cancel"), attrs: { type: "button" } });
  button.addEventListener("click", back);
  const card = h(
    "main",
    { class: "card welcome-card closed-card", attrs: { role: "status" } },
    h("span", { class: "pulse", attrs: { "aria-hidden": "true" } }),
    h("h1", { text: title }),
    h("p", { class: "lead", text: lead }),
    button,
  );
  screen("welcome", scenery(), h("div", { class: "welcome" }, brand(node.name), card));
}
