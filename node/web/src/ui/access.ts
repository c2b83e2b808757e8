// Who may come into a new world, and whether what is said there is encrypted.
import type { Ask } from "../api/asks";
import { type Badge, badges } from "../api/badges";
import type { Session } from "../api/session";
import { type Key, t } from "../i18n";
import { freshId, h } from "./dom";

/** An encrypted chat needs a device, and that needs what browsers have on pages over TLS alone. */
const canEncrypt = (): boolean => isSecureContext && "locks" in navigator;

export interface Access {
  public: boolean;
  encrypted: boolean;
  /** Of these, whoever comes shows one. */
  asks?: readonly Ask[];
}

interface Choice {
  row: HTMLElement;
  input: HTMLInputElement;
  about: HTMLElement;
}

export class AccessChoice {
  readonly element: HTMLElement;
  private readonly closed: Choice;
  private readonly badged: Choice;
  private readonly encrypted: HTMLInputElement;
  private readonly badge = h("select", { attrs: { "aria-label": t("create.access.badge_which") } });

  constructor(session: Session) {
    const name = freshId("access");
    const open = radio(name, "public");
    open.input.defaultChecked = true;
    this.closed = radio(name, "private");
    this.badged = radio(name, "badge");
    this.badged.input.disabled = true;
    const [id, aboutId] = [freshId("encrypt"), freshId("encrypt-about")];
    const able = canEncrypt();
    const attrs = { id, type: "checkbox", checked: able, disabled: !able, "aria-describedby": aboutId };
    this.encrypted = h("input", { attrs });
    const text = t(able ? "create.encrypt_about" : "create.encrypt_not");
    const encryption = h(
      "div",
      { class: "choice within", attrs: { hidden: true } },
      this.encrypted,
      h("label", { attrs: { for: id } }, h("b", { text: t("create.encrypt") })),
      h("p", { class: "hint", text, attrs: { id: aboutId } }),
    );
    const which = h("div", { class: "choice within", attrs: { hidden: true } }, this.badge);
    for (const { input } of [open, this.closed, this.badged]) {
      input.addEventListener("change", () => {
        encryption.hidden = !this.closed.input.checked;
        which.hidden = !this.badged.input.checked;
      });
    }
    this.element = h(
      "fieldset",
      { class: "access" },
      h("legend", { text: t("create.access") }),
      open.row,
      this.closed.row,
      encryption,
      this.badged.row,
      which,
    );
    void this.learn(session);
  }

  get value(): Access {
    if (this.badged.input.checked) return { public: false, encrypted: false, asks: this.asks };
    const isPrivate = this.closed.input.checked;
    return { public: !isPrivate, encrypted: isPrivate && this.encrypted.checked };
  }

  /** The badge that is chosen, by the name by which people know it. */
  private get asks(): Ask[] {
    const [chosen] = this.badge.selectedOptions;
    return chosen ? [{ type: "Badge", badge: chosen.value, name: chosen.text }] : [];
  }

  /** Lets one of the badges be chosen that this node has. */
  private async learn(session: Session): Promise<void> {
    try {
      this.offer(await badges(session));
    } catch (error) {
      console.warn("the badges of this node are not known", error);
      this.badged.about.textContent = t("create.access.badge_failed");
    }
  }

  private offer(all: readonly Badge[]): void {
    this.badge.replaceChildren(...all.map(({ id, name }) => h("option", { text: name, attrs: { value: id } })));
    this.badged.input.disabled = all.length === 0;
    if (all.length === 0) this.badged.about.textContent = t("create.access.badge_none");
  }
}

function radio(name: string, value: "public" | "private" | "badge"): Choice {
  const [id, aboutId] = [freshId("access"), freshId("access-about")];
  const input = h("input", { attrs: { id, type: "radio", name, value, "aria-describedby": aboutId } });
  const about = h("p", { class: "hint", text: t(`create.access.${value}_about` satisfies Key), attrs: { id: aboutId } });
  const row = h("div", { class: "choice" }, input, h("label", { attrs: { for: id } }, h("b", { text: t(`create.access.${value}`) })), about);
  return { row, input, about };
}
