// Inviting people to a private world: by their address, with those who have not come yet below.
import { ApiError } from "../api/http";
import { invite, type Invited, invited, nameOf, uninvite } from "../api/inviting";
import type { World } from "../api/node";
import { fullAddress, type Session } from "../api/session";
import { t } from "../i18n";
import { busy, field, h, say } from "./dom";
import { words } from "./errors";
import { icon } from "./icons";
import { linkRow } from "./link";
import { notice, openDialog } from "./shell";

export interface InviteDoors {
  /** The node to which an address without one belongs. */
  serverName: string;
  /** Where those who were invited arrive. */
  link: string;
  closed(): void;
}

export function inviteDialog(world: World, session: Session, doors: InviteDoors): void {
  new InviteDialog(world, session, doors);
}

class InviteDialog {
  private readonly address = field(
    t("invite.address"),
    { type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false", required: true, maxlength: 255 },
    t("invite.hint"),
  );
  private readonly wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  private readonly done = h("p", { class: "hint", attrs: { role: "status" } });
  private readonly waiting = h("section", { attrs: { hidden: true } });

  constructor(
    private readonly world: World,
    private readonly session: Session,
    private readonly doors: InviteDoors,
  ) {
    const go = h("button", { class: "primary", attrs: { type: "submit" } }, icon("plus"), t("invite.do"));
    const form = h("form", { class: "form" }, this.address.row, this.wrong, go, this.done);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void busy(go, () => this.invite());
    });
    const lead = h("p", { class: "lead", text: t(world.asks?.length ? "invite.lead_asks" : "invite.lead") });
    const link = h("section", {}, h("p", { class: "hint", text: t("invite.link") }), linkRow(doors.link));
    openDialog(t("invite.title", { world: world.name }), [lead, form, this.waiting, link], { closed: doors.closed });
    this.address.input.focus();
    void this.list();
  }

  private async invite(): Promise<void> {
    say(this.wrong, null);
    this.done.textContent = "";
    const userId = fullAddress(this.address.input.value, this.doors.serverName);
    try {
      const name = await nameOf(userId, this.session);
      await invite(this.world.room_id, userId, this.session);
      this.address.input.value = "";
      this.done.textContent = t("invite.done", { name });
      await this.list();
    } catch (error) {
      const nobody = error instanceof ApiError && error.status < 500 && error.code !== "M_FORBIDDEN" && error.status !== 429;
      say(this.wrong, nobody && !error.unreachable ? t("invite.nobody") : words(error));
    }
    this.address.input.focus();
  }

  /** Shows who has not come yet. */
  private async list(): Promise<void> {
    try {
      const people = await invited(this.world.room_id, this.session);
      this.waiting.hidden = people.length === 0;
      const rows = people.map((person) => this.row(person));
      this.waiting.replaceChildren(h("h3", { text: t("invite.waiting") }), h("ul", { class: "rows" }, ...rows));
    } catch (error) {
      // People can be invited without it.
      console.warn("it is not known who was invited", error);
    }
  }

  private row({ userId, name }: Invited): HTMLElement {
    const label = t("invite.take_back_name", { name });
    const back = h("button", { class: "quiet", text: t("invite.take_back"), attrs: { type: "button", "aria-label": label } });
    back.addEventListener("click", () =>
      void busy(back, async () => {
        try {
          await uninvite(this.world.room_id, userId, this.session);
          await this.list();
          this.address.input.focus();
        } catch (error) {
          notice(words(error), "bad");
        }
      }),
    );
    return h("li", { attrs: { title: userId } }, h("span", { class: "row-text" }, h("b", { text: name }), h("span", { class: "note", text: userId })), back);
  }
}
