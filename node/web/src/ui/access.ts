// Who may come into a new world, and whether what is said there is encrypted.
import { t } from "../i18n";
import { freshId, h } from "./dom";

/** An encrypted chat needs a device, and that needs what browsers have on pages over TLS alone. */
const canEncrypt = (): boolean => isSecureContext && "locks" in navigator;

export class AccessChoice {
  readonly element: HTMLElement;
  private readonly closed: HTMLInputElement;
  private readonly encrypted: HTMLInputElement;

  constructor() {
    const name = freshId("access");
    const open = radio(name, "public", true);
    const closed = radio(name, "private", false);
    this.closed = closed.input;
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
    for (const { input } of [open, closed]) {
      input.addEventListener("change", () => {
        encryption.hidden = !this.closed.checked;
      });
    }
    this.element = h(
      "fieldset",
      { class: "access" },
      h("legend", { text: t("create.access") }),
      open.row,
      closed.row,
      encryption,
    );
  }

  get value(): { public: boolean; encrypted: boolean } {
    const isPrivate = this.closed.checked;
    return { public: !isPrivate, encrypted: isPrivate && this.encrypted.checked };
  }
}

function radio(name: string, value: "public" | "private", checked: boolean): { row: HTMLElement; input: HTMLInputElement } {
  const [id, aboutId] = [freshId("access"), freshId("access-about")];
  const input = h("input", { attrs: { id, type: "radio", name, value, checked, "aria-describedby": aboutId } });
  const row = h(
    "div",
    { class: "choice" },
    input,
    h("label", { attrs: { for: id } }, h("b", { text: t(`create.access.${value}`) })),
    h("p", { class: "hint", text: t(`create.access.${value}_about`), attrs: { id: aboutId } }),
  );
  return { row, input };
}
