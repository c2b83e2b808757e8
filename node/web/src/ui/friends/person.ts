// A person who is met in a world, in a dialog: how one stands to them, and what can be done about that.
import { elsewhere } from "../../api/session";
import type { Friends } from "../../friends/model";
import { t } from "../../i18n";
import type { WornBadge } from "../../net/codec";
import { h } from "../dom";
import { icon } from "../icons";
import { badgeList } from "../pills";
import { closeDialog, openDialog } from "../shell";
import { askForm } from "./asking";
import { deedButton, type Person, personButton, question } from "./deeds";
import { personMark } from "./picture";

/** Somebody as a world shows them. */
export interface Met extends Person {
  guest: boolean;
  badges: readonly WornBadge[];
}

export interface PersonDoors {
  /** Writes to them; null where that cannot be done. */
  write: ((userId: string) => void) | null;
  /** Gives them a badge; null where the person gives none. */
  give: ((met: Met) => void) | null;
  /** The home of the person who looks. */
  serverName: string;
  closed(): void;
}

export function personDialog(friends: Friends, met: Met, doors: PersonDoors): void {
  new PersonDialog(friends, met, doors);
}

class PersonDialog {
  private readonly body = h("div", { class: "person-card" });
  private view: "deeds" | "ask" | "remove" | "block" = "deeds";
  private print = "";

  constructor(
    private readonly friends: Friends,
    private readonly met: Met,
    private readonly doors: PersonDoors,
  ) {
    const unwatch = friends.watch(() => this.draw());
    openDialog(met.name, [this.body], {
      closed: () => {
        unwatch();
        doors.closed();
      },
    });
    this.draw();
    this.focus();
    void friends.ask();
  }

  private show(view: PersonDialog["view"]): void {
    this.view = view;
    this.print = "";
    this.draw();
    this.focus();
  }

  private focus(): void {
    this.body.querySelector<HTMLElement>("textarea, [data-key^=keep], button")?.focus();
  }

  private draw(): void {
    const { friends, met, view } = this;
    const print = JSON.stringify([view, friends.of(met.userId), friends.isBlocked(met.userId), friends.known !== null, friends.trouble !== null]);
    // What somebody writes is not drawn anew under their hands.
    if (print === this.print || (view === "ask" && this.print !== "")) return;
    this.print = print;
    const key = this.body.querySelector<HTMLElement>(":focus")?.dataset.key;
    this.body.replaceChildren(...[this.head(), badgeList(this.met.badges), ...this.parts()].filter((one) => one !== null));
    if (key !== undefined) this.body.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"], button`)?.focus();
  }

  private head(): HTMLElement {
    const { friends, met } = this;
    const known = friends.of(met.userId);
    const home = elsewhere(met.userId, this.doors.serverName);
    const from = home !== null && h("span", { class: "from", text: t("friends.at", { node: home }) });
    const text = h("span", { class: "row-text" }, h("b", { text: this.standing() }), from, h("span", { class: "note", text: met.userId }));
    return h("div", { class: "person-head" }, personMark({ ...met, avatar: known?.avatar ?? null }, friends.session), text);
  }

  private standing(): string {
    const { friends, met } = this;
    const { name } = met;
    if (friends.isBlocked(met.userId)) return t("friends.is_blocked", { name });
    if (met.guest) return t("friends.is_guest");
    const standing = friends.of(met.userId)?.standing;
    if (standing === undefined) return t("friends.is_nobody");
    return t(`friends.is_${standing}`, { name });
  }

  private parts(): Node[] {
    const { friends, met, doors, view } = this;
    if (view === "ask") {
      return [askForm(friends, met, { serverName: doors.serverName, done: closeDialog, back: () => this.show("deeds") })];
    }
    if (view !== "deeds") {
      return [question(friends, view, met, { done: () => (view === "block" ? closeDialog() : this.show("deeds")), keep: () => this.show("deeds") })];
    }
    return [h("div", { class: "person-deeds" }, ...this.deeds())];
  }

  private deeds(): HTMLElement[] {
    const { friends, met, doors } = this;
    const deed = (kind: string, which: Parameters<typeof deedButton>[2]): HTMLElement => deedButton(friends, kind, which, met);
    const asks = (which: "remove" | "block"): HTMLElement => personButton("quiet", `ask-${which}`, t(`friends.${which}`), met, () => this.show(which));
    if (friends.isBlocked(met.userId)) return [deed("secondary", "unblock")];
    if (met.guest) return [asks("block")];
    const { write } = doors;
    const pen = write && this.writeButton(write);
    const standing = friends.of(met.userId)?.standing;
    const first: (HTMLElement | null)[] = {
      friend: [pen, asks("remove")],
      asked: [deed("secondary", "take_back"), pen],
      // Whoever writes to them would accept by that.
      asking: [deed("primary", "accept"), deed("quiet", "refuse")],
      none: [this.askButton(), pen],
    }[standing ?? "none"];
    const { give } = doors;
    return [...[...first, give && this.giveButton(give)].filter((one) => one !== null), asks("block")];
  }

  private giveButton(give: (met: Met) => void): HTMLElement {
    const button = h("button", { class: "secondary", attrs: { type: "button", "data-key": "give" } }, icon("badge"), t("friends.give"));
    button.addEventListener("click", () => {
      closeDialog();
      give(this.met);
    });
    return button;
  }

  private askButton(): HTMLElement {
    const { met } = this;
    const label = t("friends.do_name", { deed: t("friends.ask"), name: met.name });
    const attrs = { type: "button", "aria-label": label, "data-key": "ask", disabled: this.friends.known === null };
    const button = h("button", { class: "primary", attrs }, icon("plus"), t("friends.ask"));
    button.addEventListener("click", () => this.show("ask"));
    return button;
  }

  private writeButton(write: (userId: string) => void): HTMLElement {
    const { userId, name } = this.met;
    const text = t("friends.write", { name });
    const button = h("button", { class: "secondary", attrs: { type: "button", "data-key": "write" } }, icon("pen"), text);
    button.addEventListener("click", () => {
      closeDialog();
      write(userId);
    });
    return button;
  }
}
