// What is done about a person by one press, wherever they are shown, and the questions before what cannot be undone.
import type { Friends } from "../../friends/model";
import { t } from "../../i18n";
import { busy, h } from "../dom";
import { notice } from "../shell";
import { friendWords } from "./words";

export interface Person {
  userId: string;
  name: string;
}

export const DEEDS = ["accept", "refuse", "take_back", "remove", "block", "unblock"] as const;
export type Deed = (typeof DEEDS)[number];

/** A button about somebody, which says of whom to those who only hear it. */
export function personButton(kind: string, key: string, text: string, { userId, name }: Person, deed: () => unknown): HTMLButtonElement {
  const attrs = { type: "button", "aria-label": t("friends.do_name", { deed: text, name }), "data-key": `${key} ${userId}` };
  const button = h("button", { class: kind, text, attrs });
  button.addEventListener("click", () => void busy(button, async () => void (await deed())));
  return button;
}

/** A button that does it at once. */
export function deedButton(friends: Friends, kind: string, deed: Deed, person: Person, done: () => void = () => {}): HTMLButtonElement {
  return personButton(kind, deed, t(`friends.${deed}`), person, async () => {
    if (await dealt(friends, deed, person)) done();
  });
}

/** Does it; says whether that went well, and tells the person what came of it. */
export async function dealt(friends: Friends, deed: Deed, { userId, name }: Person): Promise<boolean> {
  try {
    await doing(friends, deed, userId);
  } catch (error) {
    console.warn(`what was to be done about somebody was not: ${deed}`, error);
    notice(friendWords(error, userId), "bad");
    return false;
  }
  if (deed === "accept") notice(t("friends.friends_now", { name }));
  if (deed === "block") notice(t("friends.blocked_now", { name }));
  if (deed === "unblock") notice(t("friends.unblocked_now", { name }));
  return true;
}

async function doing(friends: Friends, deed: Deed, userId: string): Promise<void> {
  if (deed === "accept") await friends.befriend(userId);
  else if (deed === "block") await friends.block(userId);
  else if (deed === "unblock") await friends.unblock(userId);
  else await friends.end(userId);
}

/** Asks whether that is meant. */
export function question(friends: Friends, deed: "remove" | "block", person: Person, doors: { done(): void; keep(): void }): HTMLElement {
  const { userId, name } = person;
  const keep = h("button", { class: "quiet", text: t("friends.keep"), attrs: { type: "button", "data-key": `keep ${userId}` } });
  keep.addEventListener("click", doors.keep);
  const ends = deed === "block" && friends.of(userId)?.standing === "friend" ? ` ${t("friends.block_friend")}` : "";
  return h(
    "div",
    { class: "friend-question", attrs: { role: "group", "aria-label": t("friends.do_name", { deed: t(`friends.${deed}`), name }) } },
    deed === "block" && h("b", { text: t("friends.block_title", { name }) }),
    h("p", { text: t(`friends.${deed}_ask`, { name }) + ends }),
    h("div", { class: "row" }, deedButton(friends, "secondary danger", deed, person, doors.done), keep),
  );
}
