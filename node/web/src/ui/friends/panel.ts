// The list of friends in a panel: who asks, who is a friend and where, who was asked, who is blocked, and who may see oneself.
import type { Audience } from "../../api/friends";
import type { Friends } from "../../friends/model";
import { t } from "../../i18n";
import { busy, freshId, h } from "../dom";
import { words } from "../errors";
import { icon } from "../icons";
import { notice } from "../shell";
import { askForm } from "./asking";
import { type Opened, type RowDoors, Rows } from "./rows";

export interface PanelDoors extends RowDoors {
  /** Gives the keys back to walking, or closes the dialog. */
  leave(): void;
}

/** So often it is told anew how long ago somebody was here. */
const MINUTE_MS = 60_000;

export class FriendsPanel {
  readonly element: HTMLElement;
  private readonly scroll = h("div", { class: "messages-scroll friends-scroll" });
  private readonly list: HTMLElement;
  private readonly rows: Rows;
  private readonly unwatch: () => void;
  private form: HTMLElement | null = null;
  private opened: Opened | null = null;
  private print = "";

  constructor(
    private readonly friends: Friends,
    private readonly doors: PanelDoors,
  ) {
    this.rows = new Rows(friends, doors, () => this.opened, (now, focus) => this.openRow(now, focus));
    const add = h("button", { class: "secondary", attrs: { type: "button", "data-key": "add" } }, icon("plus"), t("friends.add"));
    add.addEventListener("click", () => this.ask());
    const foot = h("div", { class: "row messages-foot" }, add);
    this.list = h("div", { class: "messages-list" }, this.scroll, foot);
    this.element = h("div", { class: "messages friends" }, this.list);
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.unwatch = friends.watch(() => this.update());
    this.update();
  }

  /** Whether somebody sees it: only then it is asked for by itself. */
  show(yes: boolean): void {
    this.friends.look(this, yes);
    this.update();
  }

  focus(): void {
    const first = this.form?.querySelector<HTMLElement>("input, textarea") ?? this.list.querySelector("button");
    first?.focus();
  }

  dispose(): void {
    this.friends.look(this, false);
    this.unwatch();
  }

  private key(event: KeyboardEvent): void {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    event.preventDefault();
    if (this.form) this.back();
    else this.doors.leave();
  }

  private openRow(now: Opened | null, focus: string): void {
    this.opened = now;
    this.update();
    this.focusOn(focus);
    // What has opened below a name may be below what is seen.
    if (now) this.scroll.querySelector(`[data-user="${CSS.escape(now.userId)}"]`)?.scrollIntoView({ block: "nearest" });
  }

  /** Draws what is known now, where that is other than what is shown. */
  update(): void {
    const { friends } = this;
    const here = (friends.known?.friends ?? []).map(({ place }) => place !== null && this.doors.isHere(place));
    const minute = Math.floor(Date.now() / MINUTE_MS);
    const print = JSON.stringify([friends.known, friends.trouble !== null, this.opened, here, minute]);
    if (print === this.print) return;
    this.print = print;
    const key = this.scroll.querySelector<HTMLElement>(":focus")?.dataset.key;
    this.scroll.replaceChildren(...this.sections());
    if (key !== undefined) this.focusOn(key);
  }

  /** What has gone with its row leaves the focus to what is always there. */
  private focusOn(key: string): void {
    const found = this.list.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`);
    (found ?? this.list.querySelector<HTMLElement>("[data-key=add]"))?.focus({ preventScroll: found === null });
  }

  private sections(): Node[] {
    const { friends, rows } = this;
    const { known, trouble } = friends;
    const failed = trouble !== null && this.failed(trouble);
    if (!known) return failed ? [failed] : [h("p", { class: "hint", text: t("friends.looking"), attrs: { role: "status" } })];
    const { asking, friends: all, asked } = friends.parts;
    const parts = [
      failed,
      section("asking", t("friends.asking"), asking.map((one) => rows.asking(one))),
      all.length === 0 && this.empty(asking.length + asked.length > 0),
      section("list", t("friends.list"), all.map((one) => rows.friend(one))),
      section("asked", t("friends.asked"), asked.map((one) => rows.asked(one))),
      section("blocked", t("friends.blocked"), known.blocked.map((one) => rows.blocked(one))),
      this.audience(known.tell),
    ];
    return parts.filter((part) => part !== false);
  }

  /** What a newcomer can do; `begun` where they have done it already. */
  private empty(begun: boolean): HTMLElement | false {
    if (begun) return false;
    const { userId } = this.friends.session;
    return h(
      "section",
      { class: "friends-empty" },
      icon("people"),
      h("h3", { text: t("friends.empty") }),
      h("p", { class: "lead", text: t("friends.empty_lead") }),
      h("p", { class: "hint", text: t("friends.own") }),
      h("p", { class: "friend-address", text: userId }),
    );
  }

  private failed(trouble: unknown): HTMLElement {
    const again = h("button", { class: "inline", text: t("error.again"), attrs: { type: "button", "data-key": "again" } });
    again.addEventListener("click", () => void busy(again, () => this.friends.ask()));
    return h("p", { class: "wrong friends-wrong", attrs: { role: "alert" } }, `${t("friends.failed", { why: words(trouble) })} `, again);
  }

  /** Who may see where the person is. */
  private audience(now: Audience): HTMLElement {
    const hintId = freshId("hint");
    const name = freshId("tell");
    const options = (["friends", "everybody", "nobody"] satisfies Audience[]).map((to) => {
      const attrs = { type: "radio", name, value: to, checked: to === now, "aria-describedby": hintId, "data-key": `tell ${to}` };
      const input = h("input", { attrs });
      input.addEventListener("change", () => void this.tell(to));
      return h("label", { class: "option" }, input, h("span", { text: t(`friends.tell_${to}`) }));
    });
    return h(
      "fieldset",
      { class: "friends-tell" },
      h("legend", { text: t("friends.tell") }),
      h("div", { class: "options" }, ...options),
      h("p", { class: "hint", text: t(`friends.tell_${now}_about`), attrs: { id: hintId, "aria-live": "polite" } }),
    );
  }

  private async tell(to: Audience): Promise<void> {
    try {
      await this.friends.tell(to);
    } catch (error) {
      notice(words(error), "bad");
      // The choice that holds is shown again.
      this.print = "";
      this.update();
    }
  }

  private ask(): void {
    const { serverName } = this.doors;
    const form = askForm(this.friends, null, { serverName, done: () => this.back(), back: () => this.back() });
    const view = h("div", { class: "messages-scroll friend-add" }, h("h3", { text: t("friends.add") }), form);
    this.form = view;
    this.list.hidden = true;
    this.element.append(view);
    this.focus();
  }

  private back(): void {
    this.form?.remove();
    this.form = null;
    this.list.hidden = false;
    this.focusOn("add");
  }
}

function section(kind: string, title: string, rows: HTMLElement[]): HTMLElement | false {
  if (rows.length === 0) return false;
  const id = freshId("friends");
  const list = h("ul", { attrs: { "aria-labelledby": id } }, ...rows);
  return h("section", { class: `friends-${kind}` }, h("h3", { text: title, attrs: { id } }), list);
}
