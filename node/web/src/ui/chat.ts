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
  readonly element: HTMLElement;
  title: string;
  /** What the two are called together. */
  both: string;
  show(yes: boolean): void;
  focus(): void;
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
  private beside: Beside | null = null;
  private besideBadge: HTMLElement | null = null;
  private tabs: HTMLButtonElement[] = [];
  private turned = false;
  private waiting = 0;
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
    if (this.turned) this.beside?.focus();
    else this.input.focus();
  }

  /** Puts something beside the chat, with a way from one to the other. */
  offer(beside: Beside): void {
    this.beside = beside;
    this.besideBadge = h("span", { class: "badge", attrs: { hidden: true } });
    const tab = (text: string, turned: boolean, badge: HTMLElement | null): HTMLButtonElement => {
      const button = h("button", { class: "chat-tab", attrs: { type: "button" } }, text, badge);
      button.addEventListener("click", () => {
        this.turn(turned);
        this.focus();
      });
      return button;
    };
    this.tabs = [tab(t("chat.title"), false, null), tab(beside.title, true, this.besideBadge)];
    const group = h("div", { class: "chat-tabs", attrs: { role: "group", "aria-label": beside.both } }, ...this.tabs);
    this.head.querySelector("h2")?.replaceWith(group);
    this.element.append(beside.element);
    this.turn(this.turned);
  }

  /** Shows what is beside the chat, or the chat again. */
  turn(turned: boolean): void {
    this.turned = turned;
    for (const [index, tab] of this.tabs.entries()) tab.setAttribute("aria-pressed", String(turned === (index === 1)));
    this.element.classList.toggle("turned", turned);
    this.lines.element.hidden = turned;
    this.trouble.hidden = turned || this.trouble.childElementCount === 0;
    this.form.hidden = turned;
    if (this.beside) this.beside.element.hidden = !turned;
    this.show();
    if (!turned) this.toEnd();
  }

  /** Says how much waits beside the chat, and what has just come where nobody sees it. */
  wait(count: number, news: string): void {
    if (count > this.waiting && !this.opened) this.ticker.textContent = news;
    this.waiting = count;
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
    this.trouble.hidden = why === null || this.turned;
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
    const news = this.unread + this.waiting;
    this.badge.hidden = news === 0;
    this.badge.textContent = t("chat.unread", { count: news });
    if (this.besideBadge) {
      this.besideBadge.hidden = this.waiting === 0;
      this.besideBadge.textContent = `${this.waiting}`;
    }
    this.beside?.show(this.opened && this.turned);
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
