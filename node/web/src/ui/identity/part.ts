// The part of somebody's account that is about their identity: what it is, whether it is safe, and looking after it.
import { passkeys } from "../../api/passkeys";
import type { Session } from "../../api/session";
import type { Lock } from "../../identity/vault";
import { loadMore, t } from "../../i18n";
import { type Device, identityOf, type OwnIdentity, type Overview } from "../../person";
import { button, part, type Part } from "../account/part";
import { h } from "../dom";
import { icon } from "../icons";
import type { Place } from "../proof";
import { identityWords } from "./errors";
import { guardiansDialog } from "./guardians";
import { joinDialog, takeBackDialog } from "./join";
import { lockDialog } from "./lock";
import { movingDialog } from "./moving";
import { saveDialog } from "./save";
import { confirming, copying, hint } from "./steps";
import { dayOf, endOf, didWithPlace } from "./written";

/** Who looks after what. */
interface Around {
  own: OwnIdentity;
  session: Session;
  overview: Overview;
  /** Shows the part anew. */
  again: () => void;
}

export async function identityPart(session: Session): Promise<Part> {
  await loadMore("identity");
  return part(session, t("identity.title"), t("identity.lead"), (place) => inside(session, place));
}

async function inside(session: Session, place: Place): Promise<Node[]> {
  const own = identityOf(session);
  if (!own) return said(place, "none", t("identity.state_none_browser"));
  let overview: Overview;
  try {
    overview = await own.ensure();
  } catch (error) {
    return [wrong(identityWords(error)), button("secondary", t("identity.again"), () => place.list(""))];
  }
  const around: Around = { own, session, overview, again: () => void place.list("") };
  const { state, why } = overview;
  place.inside.dataset.portable = String(overview.portable);
  switch (state) {
    case "none":
      if (why === "linked") return said(place, state, t("identity.state_linked"), address(overview), moveIn(around));
      return said(place, state, t(why === "node" ? "identity.state_none_node" : "identity.state_none_browser"));
    case "broken":
      return said(place, state, ...broken(around));
    case "ended":
      if (why === "moved") return said(place, state, ...moved(overview));
      return said(place, state, t("identity.state_ended"));
    case "elsewhere":
      return said(place, state, t("identity.state_elsewhere"), ...(await closed(around)));
    case "mine":
      if (!overview.canChange) return said(place, state, t("identity.state_locked"), ...(await closed(around)));
      return said(place, state, ...(await open(around)));
  }
}

function said(place: Place, state: Overview["state"], ...content: (Node | string)[]): Node[] {
  place.inside.dataset.identity = state;
  return content.map((one) => (typeof one === "string" ? h("p", { class: "lead", text: one }) : one));
}

const wrong = (text: string): HTMLElement => h("p", { class: "wrong", text, attrs: { role: "alert" } });

function broken({ own, overview, again }: Around): (Node | string)[] {
  const why = overview.why as keyof typeof WORDS | null;
  const reason = why !== null && why in WORDS ? t(WORDS[why]) : t("identity.why.malformed");
  const startOver = button("secondary", t("identity.start_over"), () =>
    confirming(t("identity.start_over"), t("identity.start_over_lead"), t("identity.start_over"), async () => {
      await own.startOver();
      again();
    }, t("identity.started_over")),
  );
  const rewound = overview.why === "rewound" ? [more(startOver)] : [];
  return [wrong(t("identity.state_broken", { why: reason })), hint(t("identity.broken_help")), button("secondary", t("identity.again"), again), ...rewound];
}

/** What of a history can be wrong. */
const WORDS = {
  bad_log: "identity.why.bad_log",
  rewound: "identity.why.rewound",
  not_mine: "identity.why.not_mine",
  wrong_person: "identity.why.wrong_person",
  newer: "identity.why.newer",
} as const;

/** What is shown in a browser that can change nothing. */
async function closed(around: Around): Promise<Node[]> {
  const { own, session, overview, again } = around;
  const label = t(overview.state === "mine" ? "identity.unlock" : "identity.join");
  const join = button("primary", label, () => joinDialog(own, session, overview.devices, again));
  const mark = overview.portable ? portable(true, t("identity.portable")) : portable(false, t("identity.not_portable_elsewhere"));
  return [address(overview), mark, join, ...(overview.portable ? [] : [moveIn(around)])];
}

/** The way in for whoever has an identity elsewhere, which takes the place of one that was never saved. */
function moveIn({ own, session, overview, again }: Around): HTMLElement {
  const about = t(overview.why === "linked" ? "identity.moving.linked_lead" : "identity.moving.open_lead");
  const open = button("secondary", t("identity.moving.open"), () => movingDialog(own, session, overview.why !== "linked", again));
  return h("div", { class: "identity-rare" }, hint(about), open);
}

/** Where somebody lives who has moved away, who said so themselves. */
function moved(overview: Overview): (Node | string)[] {
  const { lives } = overview;
  if (!lives) return [t("identity.state_moved"), address(overview)];
  const place = new URL(lives.address).host;
  const link = h("a", { class: "secondary", text: t("identity.moved_link", { place }), attrs: { href: lives.address, rel: "noopener noreferrer" } });
  return [t("identity.moved_to", { place, account: lives.account }), address(overview), link];
}

async function open(around: Around): Promise<Node[]> {
  const { own, session, overview, again } = around;
  const save = button("primary", t("identity.save_words"), () => saveDialog(own, session, false, again));
  const mark = overview.portable ? [portable(true, t("identity.portable"))] : [portable(false, t("identity.not_portable")), save, moveIn(around)];
  return [
    address(overview),
    ...mark,
    h("h3", { text: t("identity.devices") }),
    h("ul", { class: "identity-list" }, ...overview.devices.map((device) => deviceRow(around, device))),
    h("h3", { text: t("identity.locked") }),
    hint(t("identity.locked_lead")),
    ...(await locks(around)),
    more(...rare(around)),
  ];
}

/** The DID in short, and the whole of it to copy. */
function address({ did }: Overview): HTMLElement {
  const whole = did ?? "";
  return h(
    "div",
    { class: "identity-did" },
    h("span", { class: "hint", text: t("identity.did") }),
    h("code", { text: didWithPlace(whole), attrs: { title: whole, translate: "no" } }),
    copying(whole, t("identity.copy_did")),
  );
}

const portable = (isSaved: boolean, text: string): HTMLElement =>
  h("p", { class: isSaved ? "identity-mark good" : "identity-mark" }, icon(isSaved ? "verified" : "caution"), h("span", { text }));

function deviceRow({ own, again }: Around, { key, sinceMs, isThis }: Device): HTMLElement {
  const end = endOf(key);
  const name = h("strong", { text: t(isThis ? "identity.device_this" : "identity.device") });
  const about = h("p", { class: "hint", text: t("identity.device_since", { when: dayOf(sinceMs), end }) });
  const remove = button("secondary", t("identity.remove"), () =>
    confirming(t("identity.remove_title"), t("identity.remove_lead", { end }), t("identity.remove"), async () => {
      await own.removeDevice(key);
      again();
    }, t("identity.removed")), t("identity.remove_one", { end }));
  return h("li", {}, h("div", {}, name, about), !isThis && remove);
}

/** What opens it elsewhere. */
async function locks(around: Around): Promise<Node[]> {
  const { own, session, again } = around;
  const add = button("secondary", t("identity.lock_add"), () => lockDialog(own, session, again));
  try {
    const all = await own.locks();
    const known = all.some(({ kind }) => kind === "passkey") ? await passkeys(session).catch(() => []) : [];
    const only = known.length === 1 ? known[0]?.name : undefined;
    const rows = all.map((lock) => lockRow(around, lock, only));
    return [all.length === 0 ? hint(t("identity.locked_none")) : h("ul", { class: "identity-list" }, ...rows), add];
  } catch (error) {
    return [wrong(identityWords(error)), add];
  }
}

/** The node tells no page which passkey is which, but of whoever has one it is clear. */
function lockRow({ own, again }: Around, lock: Lock, only: string | undefined): HTMLElement {
  const isPasskey = lock.kind === "passkey";
  const name = t(isPasskey ? "identity.lock_passkey" : "identity.lock_passphrase");
  const label = t(isPasskey ? "identity.lock_remove_passkey" : "identity.lock_remove_passphrase");
  const remove = button("secondary", t("identity.lock_remove"), () =>
    confirming(t("identity.lock_remove_title"), t("identity.lock_remove_lead"), t("identity.lock_remove"), async () => {
      await own.removeLock(lock);
      again();
    }, t("identity.lock_removed")), label);
  const about = isPasskey && only !== undefined && h("p", { class: "hint", text: only });
  return h("li", {}, h("div", {}, h("strong", { text: name }), about), remove);
}

/** What hardly anybody needs, and nobody by accident. */
function rare({ own, session, overview, again }: Around): Node[] {
  const one = (title: string, about: string, label: string, deed: () => Promise<void> | void): HTMLElement =>
    h("div", { class: "identity-rare" }, h("h3", { text: title }), hint(about), button("secondary", label, deed));
  const renew = (): void =>
    confirming(t("identity.renew"), t("identity.renew_lead"), t("identity.renew"), async () => {
      await own.renew();
      again();
    }, t("identity.renewed"));
  const byWords = [
    one(t("identity.guardians"), t("identity.guardians_lead"), t("identity.guardians_do"), () => guardiansDialog(own, session)),
    one(t("identity.new_words"), t("identity.new_words_lead"), t("identity.new_words_do"), () => saveDialog(own, session, true, again)),
    one(t("identity.take_back"), t("identity.take_back_lead"), t("identity.take_back_do"), () => takeBackDialog(own, session, overview.devices, again)),
  ];
  // Whoever has saved no words has none with which anything could be done.
  return [...(overview.portable ? byWords : []), one(t("identity.renew"), t("identity.renew_lead"), t("identity.renew"), renew)];
}

/** Whether what is rare is shown: it stays so when the part is drawn anew. */
let isMoreOpen = false;

function more(...content: Node[]): HTMLElement {
  const summary = h("summary", {}, h("span", { text: t("identity.more") }), icon("more"));
  const element = h("details", { class: "identity-more", attrs: { open: isMoreOpen } }, summary, ...content);
  element.addEventListener("toggle", () => {
    isMoreOpen = element.open;
  });
  return element;
}
