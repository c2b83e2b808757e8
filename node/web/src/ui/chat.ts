// The chat panel: what has been said, and a line to say something.
import type { ChatLog, Line } from "../visit/chatlog";
import { locale, t } from "../i18n";
import { hue } from "../people";
import { h } from "./dom";
import { icon } from "./icons";

export interface ChatDoors {
  say(body: string): void;
  retry(line: Line): void;
  /** Gives the keys back to walking. */
  leave(): void;
}

const AT_END_PX = 60;
const MOST_LETTERS = 2000;

export class ChatPanel {
  readonly element: HTMLElement;
  readonly opener: HTMLButtonElement;
  private readonly lines: HTMLElement;
  private readonly input: HTMLInputElement;
  private readonly badge: HTMLElement;
  private readonly ticker: HTMLElement;
  private readonly rows = new Map<string, HTMLElement>();
  private unread = 0;
  private opened: boolean;

  constructor(
    private readonly log: ChatLog,
    private readonly doors: ChatDoors,
  ) {
    const touched = matchMedia("(pointer: coarse)").matches;
    this.opened = !touched && !matchMedia("(max-width: 560px)").matches;
    this.lines = h("div", { class: "chat-lines", attrs: { role: "log", tabindex: 0, "aria-label": t("chat.title") } });
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
    const form = h("form", { class: "chat-form" }, this.input, send);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    const close = h(
      "button",
      { class: "round small", attrs: { type: "button", "aria-label": t("chat.close") } },
      icon("close"),
    );
    close.addEventListener("click", () => this.open(false));
    this.element = h(
      "section",
      { class: "panel chat", attrs: { "aria-label": t("chat.title") } },
      h("header", { class: "chat-head" }, h("h2", { text: t("chat.title") }), close),
      this.lines,
      form,
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
    this.input.focus();
  }

  open(yes: boolean): void {
    this.opened = yes;
    this.show();
    if (yes) this.toEnd();
    else this.doors.leave();
  }

  /** Shows the newest lines; a panel that is not on the page yet has nothing to scroll. */
  toEnd(): void {
    this.lines.scrollTop = this.lines.scrollHeight;
  }

  private show(): void {
    this.element.classList.toggle("closed", !this.opened);
    this.element.inert = !this.opened;
    this.opener.hidden = this.opened;
    if (this.opened) {
      this.unread = 0;
      this.ticker.textContent = "";
    }
    this.badge.hidden = this.unread === 0;
    this.badge.textContent = t("chat.unread", { count: this.unread });
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
    const { lines, log } = this;
    const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < AT_END_PX;
    const seen = new Set<string>();
    let before: Line | null = null;
    let place: ChildNode | null = lines.firstChild;
    for (const line of log.lines) {
      seen.add(line.key);
      const row = this.row(line, before, own);
      if (place === row) place = row.nextSibling;
      else lines.insertBefore(row, place);
      before = line;
    }
    for (const [key, row] of this.rows) {
      if (seen.has(key)) continue;
      row.remove();
      this.rows.delete(key);
    }
    lines.dataset.empty = log.lines.length === 0 ? t("chat.empty") : "";
    if (atEnd) this.toEnd();
    if (news && news.sender !== own && !this.opened) {
      this.unread += 1;
      this.ticker.textContent = `${log.nameOf(news.sender)}: ${news.body}`;
      this.show();
    }
  }

  private row(line: Line, before: Line | null, own: string): HTMLElement {
    const row = this.rows.get(line.key) ?? h("div", {});
    const follows =
      before !== null && before.sender === line.sender && line.timeMs - before.timeMs < 180_000;
    const name = this.log.nameOf(line.sender);
    const print = [line.state, line.body, line.edited, line.redacted, follows, name].join("|");
    if (row.dataset.print === print) return row;
    row.dataset.print = print;
    row.className = `line ${line.state}${line.sender === own ? " own" : ""}${follows ? " follows" : ""}`;
    const author = h("span", { class: "author", text: name });
    author.style.setProperty("--hue", `${Math.round(hue(line.sender) * 360)}`);
    const time = new Intl.DateTimeFormat(locale(), { timeStyle: "short" });
    const said = line.redacted ? t("chat.redacted") : line.body;
    row.replaceChildren(
      h("p", { class: "who" }, author, h("time", { text: time.format(line.timeMs) })),
      h(
        "p",
        { class: line.redacted ? "said redacted" : "said" },
        said,
        line.edited && !line.redacted && h("span", { class: "edited", text: ` ${t("chat.edited")}` }),
      ),
    );
    if (line.state === "failed") row.append(this.failure(line));
    this.rows.set(line.key, row);
    return row;
  }

  private failure(line: Line): HTMLElement {
    const again = h("button", { class: "inline", text: t("chat.retry"), attrs: { type: "button" } });
    again.addEventListener("click", () => this.doors.retry(line));
    return h("p", { class: "not-sent" }, t("chat.failed"), " ", again);
  }
}
