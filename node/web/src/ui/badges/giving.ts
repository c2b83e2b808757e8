// Giving somebody a badge of the node, and taking back what it gave them: for those who moderate it.
import "../messages/messages.css";
import { type Badge, badges, type Given, give, given, takeBack } from "../../api/badges";
import type { Session } from "../../api/session";
import { loadMore, t } from "../../i18n";
import { busy, h, say } from "../dom";
import { openDialog } from "../shell";
import { BadgeForm } from "./form";
import { badgeWords, titleOf, untilWords } from "./words";

/** To whom it is given. */
export interface Receiver {
  userId: string;
  name: string;
}

/** Opens the dialog, once it is known what there is to give. */
export async function givingDialog(session: Session, receiver: Receiver, closed: () => void): Promise<void> {
  const [all] = await Promise.all([badges(session), loadMore("badges")]);
  new GivingDialog(session, receiver, all, closed);
}

class GivingDialog {
  private form: BadgeForm | null = null;
  private readonly place = h("div", {});
  private readonly has = h("section", { class: "given" });
  private readonly status = h("p", { class: "hint", attrs: { role: "status" } });
  private readonly wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });

  constructor(
    private readonly session: Session,
    private readonly receiver: Receiver,
    all: readonly Badge[],
    closed: () => void,
  ) {
    const who = h("p", { class: "hint" }, h("bdi", { text: receiver.userId }));
    openDialog(t("badges.give_title", { name: receiver.name }), [who, this.place, this.status, this.has], { closed });
    this.show(all);
    void this.list();
  }

  /** Shows the form, with the badges that there are now. */
  private show(all: readonly Badge[]): void {
    this.form = new BadgeForm(all, (badge, untilMs) => this.give(badge, untilMs));
    this.place.replaceChildren(this.form.element);
    this.form.focus();
  }

  private async give(badge: Badge, untilMs: number | null): Promise<void> {
    this.status.textContent = "";
    await give(this.receiver.userId, badge, untilMs, this.session);
    this.status.textContent = t("badges.given", { badge: badge.name, name: this.receiver.name });
    await this.list();
    try {
      this.show(await badges(this.session));
    } catch (error) {
      console.warn("the badges of this node cannot be asked for anew", error);
    }
  }

  /** Shows what the node gave them. */
  private async list(): Promise<void> {
    try {
      const all = await given(this.receiver.userId, this.session);
      const rows = all.map((one) => this.row(one));
      const none = h("p", { class: "hint", text: t("badges.given_none") });
      const list = rows.length === 0 ? none : h("ul", { class: "rows" }, ...rows);
      this.has.replaceChildren(h("h3", { text: t("badges.given_title") }), list, this.wrong);
    } catch (error) {
      this.has.replaceChildren(this.wrong);
      say(this.wrong, badgeWords(error));
    }
  }

  private row(one: Given): HTMLElement {
    const isBack = one.takenBackMs !== null;
    const title = titleOf(one);
    const note = isBack ? t("badges.taken_back") : untilWords(one.untilMs, Date.now());
    const label = t("badges.take_back_one", { badge: title, name: this.receiver.name });
    const back = h("button", { class: "quiet", text: t("badges.take_back"), attrs: { type: "button", "aria-label": label } });
    back.addEventListener("click", () => void busy(back, () => this.takeBack(one.number, title)));
    const text = h("span", { class: "row-text" }, h("bdi", { text: title }), note !== null && h("span", { class: "note", text: note }));
    return h("li", { class: isBack ? "over-with" : "" }, text, !isBack && back);
  }

  private async takeBack(number: number, title: string): Promise<void> {
    say(this.wrong, null);
    try {
      await takeBack(number, this.session);
      this.status.textContent = t("badges.took_back", { badge: title });
      await this.list();
      this.form?.focus();
    } catch (error) {
      say(this.wrong, badgeWords(error));
    }
  }
}
