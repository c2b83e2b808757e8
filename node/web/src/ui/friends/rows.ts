// One row of the list of friends for each kind of person in it: who they are, and what can be done.
import type { Blocked, Friend, Place } from "../../api/friends";
import { elsewhere } from "../../api/session";
import type { Friends } from "../../friends/model";
import { t } from "../../i18n";
import { h } from "../dom";
import { icon, type Icon } from "../icons";
import { deedButton, personButton, question } from "./deeds";
import { personMark } from "./picture";
import { whereWords } from "./where";

export interface RowDoors {
  /** Goes to where a friend is. */
  join(place: Place): void;
  /** Writes to a friend; null where there are no conversations. */
  write: ((friend: Friend) => void) | null;
  /** Whether the person is in that world. */
  isHere(place: Place): boolean;
  /** The home of the person. */
  serverName: string;
}

/** What is open below a friend: what else can be done, or whether that is meant. */
export interface Opened {
  userId: string;
  what: "more" | "remove" | "block";
}

export class Rows {
  constructor(
    private readonly friends: Friends,
    private readonly doors: RowDoors,
    /** What is open now, and opening something else. */
    private readonly opened: () => Opened | null,
    private readonly open: (now: Opened | null, focus: string) => void,
  ) {}

  /** Somebody who asks. */
  asking(one: Friend): HTMLElement {
    const { friends } = this;
    const asked = this.question(one);
    const block = personButton("quiet", "ask-block", t("friends.block"), one, () => this.ask(one, "block"));
    const deeds = h("div", { class: "friend-deeds" }, deedButton(friends, "secondary", "accept", one), deedButton(friends, "quiet", "refuse", one), block);
    const words = one.message !== "" && h("blockquote", { class: "friend-message", text: one.message });
    return this.row("friend asking", one, one.avatar, this.text(one, one.userId, one.proven), null, words, asked ?? deeds);
  }

  friend(one: Friend): HTMLElement {
    const { doors } = this;
    const { place, userId, name } = one;
    const isHere = place !== null && doors.isHere(place);
    const where = whereWords(one, doors.serverName, isHere, Date.now());
    const goes = place !== null && place.world !== null && !isHere ? place : null;
    const join = goes && personButton("secondary join", "join", t("friends.join"), one, () => doors.join(goes));
    const isOpen = this.opened()?.userId === userId;
    const more = this.small("dots", "more", t("friends.more", { name }), one, () => this.open(isOpen ? null : { userId, what: "more" }, `more ${userId}`));
    more.setAttribute("aria-expanded", String(isOpen));
    const { write } = doors;
    const pen = write && this.small("pen", "write", t("friends.write", { name }), one, () => write(one));
    const side = h("span", { class: "friend-side" }, join, pen, more);
    const row = this.row("friend", one, one.avatar, this.text(one, where, one.proven), side, this.question(one) ?? (isOpen && this.more(one)));
    const isOn = place !== null || one.presence === "online";
    row.querySelector(".mark")?.append(h("span", { class: isOn ? "presence-dot on" : "presence-dot" }));
    if (place) row.classList.add("around");
    return row;
  }

  asked(one: Friend): HTMLElement {
    const back = deedButton(this.friends, "quiet", "take_back", one);
    return this.row("friend", one, one.avatar, this.text(one, one.userId, one.proven), h("span", { class: "friend-side" }, back));
  }

  blocked(one: Blocked): HTMLElement {
    const free = deedButton(this.friends, "quiet", "unblock", one);
    return this.row("friend", one, null, this.text(one, one.userId, true), h("span", { class: "friend-side" }, free));
  }

  private row(kind: string, { userId, name }: Blocked, avatar: string | null, ...parts: (Node | null | false)[]): HTMLElement {
    const mark = personMark({ userId, name, avatar }, this.friends.session);
    return h("li", { class: kind, attrs: { title: userId, "data-user": userId } }, mark, ...parts);
  }

  /** Their name, where they live, and one line more. */
  private text({ userId, name }: Blocked, line: string, isProven: boolean): HTMLElement {
    const home = line === userId ? null : elsewhere(userId, this.doors.serverName);
    const from = home !== null && h("span", { class: "from", text: home });
    const about = t("friends.plain_about");
    const plain = !isProven && h("span", { class: "chip", text: t("friends.plain"), attrs: { title: about } }, h("span", { class: "unseen", text: ` ${about}` }));
    return h("span", { class: "row-text" }, h("span", { class: "friend-name" }, h("b", { text: name }), from, plain), h("span", { class: "note", text: line }));
  }

  private small(picture: Icon, key: string, label: string, { userId }: Blocked, deed: () => void): HTMLButtonElement {
    const attrs = { type: "button", "aria-label": label, title: label, "data-key": `${key} ${userId}` };
    const button = h("button", { class: "round small", attrs }, icon(picture));
    button.addEventListener("click", deed);
    return button;
  }

  private more(one: Friend): HTMLElement {
    const remove = personButton("quiet", "ask-remove", t("friends.remove"), one, () => this.ask(one, "remove"));
    const block = personButton("quiet", "ask-block", t("friends.block"), one, () => this.ask(one, "block"));
    return h("div", { class: "friend-deeds" }, remove, block);
  }

  private ask({ userId }: Friend, what: "remove" | "block"): void {
    this.open({ userId, what }, `keep ${userId}`);
  }

  private question(one: Friend): HTMLElement | null {
    const now = this.opened();
    if (now?.userId !== one.userId || now.what === "more") return null;
    const isFriend = one.standing === "friend";
    const keep = (): void => this.open(isFriend ? { userId: one.userId, what: "more" } : null, `ask-${now.what} ${one.userId}`);
    return question(this.friends, now.what, one, { done: () => this.open(null, ""), keep });
  }
}
