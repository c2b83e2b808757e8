// What has been said, line by line, wherever it is shown.
import type { ChatLog, Line } from "../visit/chatlog";
import { elsewhere } from "../api/session";
import { isKey, locale, t } from "../i18n";
import { hue } from "../people";
import { h } from "./dom";
import { icon } from "./icons";

const AT_END_PX = 60;
/** Words of one person that follow each other so closely stand under one name. */
const FOLLOWS_MS = 180_000;

export class Lines {
  readonly element: HTMLElement;
  /** Shows what can be done about whoever said something, where there is anything. */
  meeting: { deed: (userId: string, name: string) => void; label: (name: string) => string } | null = null;
  private readonly rows = new Map<string, HTMLElement>();

  constructor(
    private readonly log: ChatLog,
    private readonly retry: (line: Line) => void,
    label: string,
    /** Of the node where all this is: whoever lives on another is shown with their home. */
    private readonly serverName: string | null = null,
  ) {
    this.element = h("div", { class: "chat-lines", attrs: { role: "log", tabindex: 0, "aria-label": label } });
  }

  /** Shows the newest lines; a panel that is not on the page yet has nothing to scroll. */
  toEnd(): void {
    this.element.scrollTop = this.element.scrollHeight;
  }

  /** Shows the log as it is now. */
  update(own: string, empty: string): void {
    const { element, log } = this;
    const fromEnd = element.scrollHeight - element.scrollTop;
    const atEnd = fromEnd - element.clientHeight < AT_END_PX;
    const first = element.firstChild;
    const seen = new Set<string>();
    let before: Line | null = null;
    let place: ChildNode | null = element.firstChild;
    for (const line of log.lines) {
      seen.add(line.key);
      const row = this.row(line, before, own);
      if (place === row) place = row.nextSibling;
      else element.insertBefore(row, place);
      before = line;
    }
    for (const [key, row] of this.rows) {
      if (seen.has(key)) continue;
      row.remove();
      this.rows.delete(key);
    }
    element.dataset.empty = log.lines.length === 0 ? empty : "";
    if (atEnd) this.toEnd();
    // Older lines that come before what is read do not move it.
    else if (first !== element.firstChild) element.scrollTop = element.scrollHeight - fromEnd;
  }

  private row(line: Line, before: Line | null, own: string): HTMLElement {
    const row = this.rows.get(line.key) ?? h("div", {});
    const follows =
      before !== null && before.sender === line.sender && line.timeMs - before.timeMs < FOLLOWS_MS;
    const name = this.log.nameOf(line.sender);
    const { state, body, edited, redacted, unreadable, doubt, failure } = line;
    // Why is said once for all lines that it is true of.
    const again = unreadable !== null && before?.unreadable === unreadable;
    const print = [state, body, edited, redacted, follows, name, unreadable, again, doubt, failure, this.meeting !== null].join("|");
    if (row.dataset.print === print) return row;
    row.dataset.print = print;
    row.className = `line ${line.state}${line.sender === own ? " own" : ""}${follows ? " follows" : ""}`;
    const author = this.author(line.sender, name, own);
    author.style.setProperty("--hue", `${Math.round(hue(line.sender) * 360)}`);
    const time = new Intl.DateTimeFormat(locale(), { timeStyle: "short" });
    const home = this.serverName === null ? null : elsewhere(line.sender, this.serverName);
    const from = home !== null && h("span", { class: "from", text: home });
    const who = h("p", { class: "who" }, author, from, h("time", { text: time.format(line.timeMs) }));
    row.replaceChildren(who, said(line, again));
    if (line.state === "failed") row.append(this.failure(line));
    this.rows.set(line.key, row);
    return row;
  }

  private author(sender: string, name: string, own: string): HTMLElement {
    const { meeting } = this;
    if (!meeting || sender === own) return h("span", { class: "author", text: name });
    const title = meeting.label(name);
    const button = h("button", { class: "author", text: name, attrs: { type: "button", title } });
    button.addEventListener("click", () => meeting.deed(sender, name));
    return button;
  }

  private failure(line: Line): HTMLElement {
    const again = h("button", { class: "inline", text: t("chat.retry"), attrs: { type: "button" } });
    again.addEventListener("click", () => this.retry(line));
    return h("p", { class: "not-sent" }, line.failure ?? t("chat.failed"), " ", again);
  }
}

function said({ body, edited, redacted, unreadable, doubt }: Line, again: boolean): HTMLElement {
  if (redacted) return h("p", { class: "said redacted", text: t("chat.redacted") });
  if (unreadable) {
    const why = again ? "chat.encrypted" : `unreadable.${unreadable}`;
    return h("p", { class: "said unreadable" }, icon("lock"), h("span", { text: isKey(why) ? t(why) : "" }));
  }
  const key = `doubt.${doubt}`;
  return h(
    "p",
    { class: "said" },
    body,
    edited && h("span", { class: "edited", text: ` ${t("chat.edited")}` }),
    isKey(key) && doubtMark(doubt === "not_certain", t(key)),
  );
}

/** A quiet mark for what is only not certain: all that comes from a backup is. */
function doubtMark(quiet: boolean, text: string): HTMLElement {
  const attrs = { title: text };
  const mark = icon(quiet ? "key" : "caution");
  return h("span", { class: quiet ? "doubt quietly" : "doubt", attrs }, mark, h("span", { class: "unseen", text }));
}
