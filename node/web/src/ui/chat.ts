// The chat panel: what has been said, and a line to say something.
import type { ChatLog, Line } from "../visit/chatlog";
import { t } from "../i18n";
import { h } from "./dom";
import { icon } from "./icons";
import { Lines } from "./lines";

export interface ChatDoors {
  say(body: string): void;
  retry(line: Line): void;
  /** Tries again to get into the chat. */
  listen(): void;
  /** Gives the keys back to walking. */
  leave(): void;
}

/** What stands beside the chat in its panel, where the person has more than that. */
export interface Beside {
  name: "messages" | "friends";
  readonly element: HTMLElement;
  title: string;
  show(yes: boolean): void;
  focus(): void;
}

/** It, as it stands there. */
interface Part extends Beside {
  tab: HTMLButtonElement;
  badge: HTMLElement;
  /** How much waits there. */
  waiting: number;
}

const MOST_LETTERS = 2000;

export class ChatPanel {
  readonly element: HTMLElement;
  readonly opener: HTMLButtonElement;
  private readonly lines: Lines;
  private readonly input: HTMLInputElement;
  private readonly badge: HTMLElement;
  private readonly ticker: HTMLElement;
  private readonly head: HTMLElement;
  private readonly form: HTMLElement;
  /** Why the person cannot speak, where they cannot. */
  private readonly trouble: HTMLElement;
  private readonly close: HTMLElement;
  private readonly parts: Part[] = [];
  private tabs: HTMLElement | null = null;
  private chatTab: HTMLButtonElement | null = null;
  /** What is shown in place of the chat. */
  private turned: Beside["name"] | null = null;
  private unread = 0;
  private opened: boolean;

  constructor(
    private readonly log: ChatLog,
    private readonly doors: ChatDoors,
    serverName: string,
  ) {
    const touched = matchMedia("(pointer: coarse)").matches;
    this.opened = !touched && !matchMedia("(max-width: 560px)").matches;
    this.lines = new Lines(log, doors.retry, t("chat.title"), serverName);
    this.input = h("input", {
      attrs: {
        type: "text",
        placeholder: t(touched ? "chat.placeholder" : "chat.placeholder_key"),
        "aria-label": t("chat.placeholder"),
        maxlength: MOST_LETTERS,
        autocomplete: "off",
        enterkeyhint: "send",
      },
    });
    const send = h(
      "button",
      { class: "round", attrs: { type: "submit", "aria-label": t("chat.send") } },
      icon("send"),
    );
    this.form = h("form", { class: "chat-form" }, this.input, send);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.trouble = h("p", { class: "chat-trouble", attrs: { role: "status", hidden: true } });
    this.close = h(
      "button",
      { class: "round small", attrs: { type: "button", "aria-label": t("chat.close") } },
      icon("close"),
    );
    this.close.addEventListener("click", () => this.open(false));
    this.head = h("header", { class: "chat-head" }, h("h2", { text: t("chat.title") }), this.close);
    this.element = h(
      "section",
      { class: "panel chat", attrs: { "aria-label": t("chat.title") } },
      this.head,
      this.lines.element,
      this.trouble,
      this.form,
    );
    this.badge = h("span", { class: "badge", attrs: { hidden: true } });
    this.ticker = h("span", { class: "ticker" });
    this.opener = h(
      "button",
      { class: "panel chat-opener", attrs: { type: "button", "aria-label": t("chat.open") } },
      icon("chat"),
      h("span", { class: "opener-text", text: t("chat.title") }),
      this.ticker,
      this.badge,
    );
    this.opener.addEventListener("click", () => this.focus());
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.input.blur();
      if (touched) this.open(false);
      doors.leave();
    });
    this.show();
  }

  get isOpen(): boolean {
    return this.opened;
  }

  focus(): void {
    this.open(true);
    const part = this.parts.find(({ name }) => name === this.turned);
    if (part) part.focus();
    else this.input.focus();
  }

  /** Puts something beside the chat, with a way from one to the other, the newest first; `all` is what they are called together. */
  offer(beside: Beside, all: string): void {
    const badge = h("span", { class: "badge", attrs: { hidden: true } });
    const tab = this.tab(beside.title, beside.name, badge);
    this.parts.push({ ...beside, tab, badge, waiting: 0 });
    if (!this.tabs) {
      this.chatTab = this.tab(t("chat.title"), null, null);
      this.tabs = h("div", { class: "chat-tabs", attrs: { role: "group" } }, this.chatTab);
      this.head.querySelector("h2")?.replaceWith(this.tabs);
    }
    this.tabs.setAttribute("aria-label", all);
    this.chatTab?.after(tab);
    this.element.append(beside.element);
    this.turn(this.turned);
  }

  private tab(text: string, to: Beside["name"] | null, badge: HTMLElement | null): HTMLButtonElement {
    const button = h("button", { class: "chat-tab", attrs: { type: "button" } }, text, badge);
    button.addEventListener("click", () => {
      this.turn(to);
      this.focus();
    });
    return button;
  }

  /** Shows what is beside the chat, or the chat again. */
  turn(to: Beside["name"] | null): void {
    this.turned = to;
    this.chatTab?.setAttribute("aria-pressed", String(to === null));
    for (const { name, tab, element } of this.parts) {
      tab.setAttribute("aria-pressed", String(to === name));
      element.hidden = to !== name;
    }
    const turned = to !== null;
    this.element.classList.toggle("turned", turned);
    this.lines.element.hidden = turned;
    this.trouble.hidden = turned || this.trouble.childElementCount === 0;
    this.form.hidden = turned;
    this.show();
    if (!turned) this.toEnd();
  }

  /** Lets names be pressed of those who said something. */
  offerMeeting(deed: (userId: string, name: string) => void, label: (name: string) => string, own: string): void {
    this.lines.meeting = { deed, label };
    this.update(null, own);
  }

  /** Says how much waits beside the chat, and what has just come where nobody sees it. */
  wait(where: Beside["name"], count: number, news: string): void {
    const part = this.parts.find(({ name }) => name === where);
    if (!part) return;
    if (count > part.waiting && !this.opened) this.ticker.textContent = news;
    part.waiting = count;
    this.show();
  }

  /** Shows how the chat itself is kept, where there is something to say of that. */
  keptAs(shield: HTMLElement | null): void {
    this.head.querySelector(".shield")?.remove();
    if (shield) this.close.before(shield);
  }

  /** Says why the person cannot speak here; null where they can. */
  heard(why: string | null): void {
    const again = h("button", { class: "inline", text: t("error.again"), attrs: { type: "button" } });
    again.addEventListener("click", () => {
      again.disabled = true;
      this.doors.listen();
    });
    this.trouble.replaceChildren(...(why === null ? [] : [`${why} `, again]));
    this.trouble.hidden = why === null || this.turned !== null;
  }

  open(yes: boolean): void {
    this.opened = yes;
    this.show();
    if (yes) this.toEnd();
    else this.doors.leave();
  }

  /** Shows the newest lines. */
  toEnd(): void {
    this.lines.toEnd();
  }

  private show(): void {
    this.element.classList.toggle("closed", !this.opened);
    this.element.inert = !this.opened;
    this.opener.hidden = this.opened;
    if (this.opened) {
      this.unread = 0;
      this.ticker.textContent = "";
    }
    const news = this.parts.reduce((sum, { waiting }) => sum + waiting, this.unread);
    this.badge.hidden = news === 0;
    this.badge.textContent = t("chat.unread", { count: news });
    for (const { name, badge, waiting, show } of this.parts) {
      badge.hidden = waiting === 0;
      badge.textContent = `${waiting}`;
      show(this.opened && this.turned === name);
    }
  }

  private submit(): void {
    const body = this.input.value.trim();
    if (body === "") {
      // Enter on an empty line is how most people go back to walking.
      this.input.blur();
      this.doors.leave();
      return;
    }
    this.input.value = "";
    this.doors.say(body);
  }

  /** Shows the log as it is now; `news` is a line that somebody else has just said. */
  update(news: Line | null, own: string): void {
    this.lines.update(own, t("chat.empty"));
    if (news && news.sender !== own && !this.opened) {
      this.unread += 1;
      this.ticker.textContent = `${this.log.nameOf(news.sender)}: ${news.body}`;
      this.show();
    }
  }
}
