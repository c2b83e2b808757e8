// Conversations in a panel: the list of all, and one of them at a time.
import { fullAddress } from "../../api/session";
import type { Conversation } from "../../device/protocol";
import { loadMore, locale, t } from "../../i18n";
import type { Address } from "../../travel/address";
import { isKnown, know } from "../../travel/known";
import { busy, field, h } from "../dom";
import { goingDialog } from "../going";
import { icon } from "../icons";
import { Lines } from "../lines";
import { dialogIsOpen, notice } from "../shell";
import { cards, type DialogDoors } from "./cards";
import { devicesDialog } from "./devices";
import type { Messages, Thread } from "./model";
import { asking } from "./recovery";
import { markOf, shieldButton, shieldMark } from "./shield";
import { words } from "./words";

export interface PanelDoors extends DialogDoors {
  /** Gives the keys back to walking. */
  leave(): void;
  /** The node of the person, to which an address without one belongs. */
  serverName: string;
  /** The room of the world that is around, whose chat has a place of its own. */
  worldId: string | null;
  /** Goes into a world. */
  enter(world: Address): void;
}

const MOST_LETTERS = 4000;
const DAY_MS = 24 * 3600 * 1000;

export class MessagesPanel {
  readonly element: HTMLElement;
  private readonly list: HTMLElement;
  private readonly rows: HTMLElement;
  private readonly empty: HTMLElement;
  private readonly notes: ReturnType<typeof cards>;
  private readonly unwatch: () => void;
  private open: ThreadView | null = null;
  private shown = false;

  constructor(
    private readonly messages: Messages,
    private readonly doors: PanelDoors,
  ) {
    this.notes = cards(messages, doors);
    this.rows = h("ul", { class: "conversations", attrs: { "aria-label": t("messages.title") } });
    this.empty = h("p", { class: "hint" });
    const fresh = h("button", { class: "secondary", attrs: { type: "button" } }, icon("pen"), t("messages.new"));
    fresh.addEventListener("click", () => this.ask());
    const label = t("messages.keys");
    const keys = h("button", { class: "round", attrs: { type: "button", "aria-label": label, title: label } }, icon("key"));
    keys.addEventListener("click", () => {
      doors.opens();
      void devicesDialog(messages, () => doors.closed()).then(() => {
        if (!dialogIsOpen()) doors.closed();
      });
    });
    const foot = h("div", { class: "row messages-foot" }, fresh, keys);
    this.list = h("div", { class: "messages-list" }, h("div", { class: "messages-scroll" }, this.notes.element, this.rows, this.empty), foot);
    this.element = h("div", { class: "messages" }, this.list);
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.unwatch = messages.watch(() => this.update());
    this.update();
  }

  /** Whether somebody sees it: only then are words counted as read. */
  show(yes: boolean): void {
    this.shown = yes;
    this.update();
  }

  focus(): void {
    if (this.open) this.open.focus();
    else this.list.querySelector("button")?.focus();
  }

  dispose(): void {
    this.unwatch();
  }

  private key(event: KeyboardEvent): void {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    event.preventDefault();
    if (this.open) this.back();
    else this.doors.leave();
  }

  private update(): void {
    const { messages } = this;
    this.notes.update();
    const listed = messages.conversations.filter(({ roomId }) => roomId !== this.doors.worldId);
    const opening = messages.overview?.phase === "opening" || messages.overview === null;
    this.empty.textContent = opening && !messages.silent ? t("messages.opening") : t("messages.empty");
    this.empty.hidden = listed.length > 0 || (!opening && messages.overview?.phase !== "ready");
    this.drawRows(listed);
    const open = this.open && messages.conversation(this.open.roomId);
    // One that has just begun is not told of yet; one that is over is told of no more.
    if (this.open?.known && !open) this.back();
    else this.open?.update(open, this.shown);
  }

  private drawRows(listed: readonly Conversation[]): void {
    const kept = new Map([...this.rows.children].map((row) => [(row as HTMLElement).dataset.room, row as HTMLElement]));
    let place: Element | null = this.rows.firstElementChild;
    for (const one of listed) {
      const row = kept.get(one.roomId) ?? h("li", { attrs: { "data-room": one.roomId } });
      kept.delete(one.roomId);
      const print = JSON.stringify([one, new Date().toDateString()]);
      if (row.dataset.print !== print) {
        row.dataset.print = print;
        const focused = row.contains(document.activeElement);
        row.replaceChildren(...(one.membership === "invite" ? this.invitation(one) : [this.row(one)]));
        if (focused) row.querySelector("button")?.focus();
      }
      if (place === row) place = row.nextElementSibling;
      else this.rows.insertBefore(row, place);
    }
    for (const row of kept.values()) row.remove();
  }

  private row(one: Conversation): HTMLElement {
    const { name, last, unread, online, shield, other, roomId } = one;
    const mine = last?.sender === this.messages.session.userId;
    const body = last?.body === "" ? t("chat.encrypted") : (last?.body ?? "");
    const spoken = last && one.kind !== "direct" && !mine ? `${last.name}: ${body}` : body;
    const mark = markOf(other ?? roomId, name);
    if (online !== null) mark.append(h("span", { class: online ? "presence-dot on" : "presence-dot" }));
    const unseen = online ? h("span", { class: "unseen", text: t("messages.online") }) : null;
    const button = h(
      "button",
      { class: unread > 0 ? "conversation unread" : "conversation", attrs: { type: "button" } },
      mark,
      h(
        "span",
        { class: "row-text" },
        h("span", { class: "conversation-name" }, h("b", { text: name }), shieldMark(shield), unseen),
        h("span", { class: "conversation-last", text: mine ? t("messages.you", { body }) : spoken }),
      ),
      h("span", { class: "conversation-side" }, last && h("time", { text: when(last.timeMs) }), unread > 0 && unreadBadge(unread)),
    );
    button.addEventListener("click", () => this.openRoom(roomId));
    return button;
  }

  private invitation(one: Conversation): Node[] {
    const { messages } = this;
    const name = one.people[0]?.name ?? one.name;
    const direct = one.kind === "direct";
    const by = one.other === null ? name : nameOf(one.other);
    const text = direct ? t("messages.invited", { name }) : t("messages.invited_room", { name: by, room: one.name });
    const isWorld = one.kind === "world";
    const answer = (accept: boolean): HTMLButtonElement => {
      const kind = accept ? "secondary" : "quiet";
      const yes = t(isWorld ? "messages.enter" : "messages.accept");
      const button = h("button", { class: kind, text: accept ? yes : t("messages.decline"), attrs: { type: "button" } });
      button.addEventListener("click", () =>
        void busy(button, async () => {
          try {
            // Whoever walks into a world has accepted.
            if (accept && isWorld) {
              // A device of before, in another page, says of no node.
              await this.enter({ name: one.roomId, serverName: one.worldServer ?? this.doors.serverName });
              return;
            }
            await messages.call("answer", one.roomId, accept);
            if (accept) this.openRoom(one.roomId);
          } catch (error) {
            notice(words(error), "bad");
          }
        }),
      );
      return button;
    };
    const about = h("span", { class: "row-text" }, h("b", { text }), h("span", { class: "note", text: one.other ?? "" }));
    return [h("div", { class: "invitation" }, markOf(one.other ?? one.roomId, name), about, h("div", { class: "row" }, answer(true), answer(false)))];
  }

  private async enter(world: Address): Promise<void> {
    const { serverName, enter } = this.doors;
    const { serverName: there } = world;
    if (there === serverName || isKnown(there) || (await this.agrees(there))) enter(world);
  }

  /** Whoever goes to a node for the first time is told that it learns who they are. */
  private async agrees(serverName: string): Promise<boolean> {
    let agrees = false;
    this.doors.opens();
    try {
      await loadMore("portals");
      agrees = await goingDialog(serverName, () => {});
    } finally {
      if (!agrees) this.doors.closed();
    }
    if (agrees) know(serverName);
    return agrees;
  }

  /** Shows one conversation. */
  openRoom(roomId: string): void {
    const conversation = this.messages.conversation(roomId);
    this.open?.element.remove();
    this.open = new ThreadView(this.messages, roomId, { back: () => this.back(), doors: this.doors });
    this.list.hidden = true;
    this.element.append(this.open.element);
    this.open.update(conversation, this.shown);
    this.open.toEnd();
    this.open.focus();
  }

  /** Opens the conversation with somebody, in that room where it is known, which begins with it where there is none. */
  async write(userId: string, roomId = ""): Promise<void> {
    try {
      if (this.messages.conversation(roomId)?.membership === "join") {
        this.openRoom(roomId);
        return;
      }
      this.openRoom(await this.messages.call("direct", userId));
    } catch (error) {
      notice(words(error), "bad");
      console.warn("a conversation could not be begun", error);
    }
  }

  private back(): void {
    const roomId = this.open?.roomId;
    this.open?.element.remove();
    this.open = null;
    this.list.hidden = false;
    const row = [...this.rows.children].find((one) => (one as HTMLElement).dataset.room === roomId);
    (row?.querySelector("button") ?? this.list.querySelector<HTMLElement>(".messages-foot button"))?.focus();
  }

  private ask(): void {
    const { doors, messages } = this;
    const attrs = { type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false", required: true, maxlength: 255 };
    const address = field(t("messages.new_address"), attrs, t("messages.new_hint"));
    const lead = h("p", { class: "lead", text: t("messages.new_lead") });
    let roomId = "";
    const deed = async (value: string): Promise<void> => {
      const userId = fullAddress(value, doors.serverName);
      roomId = await messages.call("direct", userId);
    };
    doors.opens();
    const closed = (): void => doors.closed();
    asking(t("messages.new"), [lead], address, t("messages.start"), deed, () => this.openRoom(roomId), closed);
  }
}

function nameOf(userId: string): string {
  return userId.replace(/^@/, "").split(":")[0] ?? userId;
}

function unreadBadge(count: number): HTMLElement {
  const badge = h("span", { class: "badge", attrs: { "aria-hidden": "true" }, text: count > 99 ? "99+" : `${count}` });
  return h("span", {}, badge, h("span", { class: "unseen", text: t("messages.unread", { count }) }));
}

/** The time of today, the day of before. */
function when(timeMs: number): string {
  const today = new Date().toDateString() === new Date(timeMs).toDateString();
  const options: Intl.DateTimeFormatOptions = today
    ? { timeStyle: "short" }
    : Date.now() - timeMs < 6 * DAY_MS
      ? { weekday: "short" }
      : { day: "numeric", month: "short" };
  return new Intl.DateTimeFormat(locale(), options).format(timeMs);
}

class ThreadView {
  readonly element: HTMLElement;
  private readonly lines: Lines;
  private readonly input: HTMLInputElement;
  private readonly head: HTMLElement;
  private readonly older: HTMLButtonElement;
  private readonly thread: Thread;
  private readPrint = "";
  /** Whether the device has told of it. */
  known = false;

  constructor(
    private readonly messages: Messages,
    readonly roomId: string,
    private readonly outside: { back: () => void; doors: PanelDoors },
  ) {
    this.thread = messages.thread(roomId);
    this.lines = new Lines(this.thread.log, (line) => void this.thread.retry(line), t("messages.title"));
    this.head = h("div", { class: "thread-head" });
    this.older = h("button", { class: "quiet older", text: t("messages.older"), attrs: { type: "button" } });
    this.older.addEventListener("click", () =>
      void busy(this.older, () => this.thread.older().catch((error: unknown) => notice(words(error), "bad"))),
    );
    this.input = h("input", { attrs: { type: "text", maxlength: MOST_LETTERS, autocomplete: "off", enterkeyhint: "send" } });
    const send = h("button", { class: "round", attrs: { type: "submit", "aria-label": t("messages.send") } }, icon("send"));
    const form = h("form", { class: "chat-form" }, this.input, send);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const body = this.input.value.trim();
      if (body === "") return;
      this.input.value = "";
      void this.thread.say(body);
      this.lines.toEnd();
    });
    this.element = h("div", { class: "thread" }, this.head, this.older, this.lines.element, form);
  }

  focus(): void {
    // Under a thumb that would bring up a keyboard over what is to be read.
    if (!matchMedia("(pointer: coarse)").matches) this.input.focus();
  }

  toEnd(): void {
    this.lines.toEnd();
  }

  update(conversation: Conversation | null, shown: boolean): void {
    const { messages, thread } = this;
    if (conversation) {
      this.known = true;
      this.drawHead(conversation);
    }
    this.older.hidden = !thread.more;
    const empty = thread.state === "opening" ? t("messages.opening") : t("messages.said_nothing");
    this.lines.update(messages.session.userId, empty);
    this.read(conversation, shown);
  }

  /** Says that what is seen was read. */
  private read(conversation: Conversation | null, shown: boolean): void {
    if (!conversation || !shown || document.hidden || conversation.unread === 0) return;
    const print = JSON.stringify([conversation.unread, conversation.last?.timeMs]);
    if (print === this.readPrint) return;
    this.readPrint = print;
    void this.messages.call("read", this.roomId).catch(console.warn);
  }

  private drawHead(conversation: Conversation): void {
    const { name, online, kind, other, shield, people } = conversation;
    const print = JSON.stringify([name, online, kind, shield, people.length]);
    if (this.head.dataset.print === print) return;
    this.head.dataset.print = print;
    const status =
      kind === "direct" && online !== null ? t(online ? "messages.online" : "messages.offline") : t(`shield.${shield}`);
    const back = h("button", { class: "round small", attrs: { type: "button", "aria-label": t("messages.back") } }, icon("back"));
    back.addEventListener("click", this.outside.back);
    const label = t(kind === "direct" ? "messages.write_to" : "messages.write_in", { name });
    this.input.placeholder = label;
    this.input.setAttribute("aria-label", label);
    const focused = this.head.contains(document.activeElement);
    const button = shieldButton(this.messages, conversation, this.outside.doors);
    this.head.replaceChildren(
      back,
      markOf(other ?? this.roomId, name),
      h("span", { class: "row-text" }, h("b", { text: name }), h("span", { class: "note", text: status })),
      button,
    );
    if (focused) button.focus();
  }
}
