// A link to be sent to somebody: shown, so that it can be seen and copied by hand, and copied by a button.
import { t } from "../i18n";
import { h } from "./dom";
import { icon } from "./icons";
import { openDialog } from "./shell";

export function linkDialog(link: string, about: string, closed: () => void): void {
  const { text, copy, done } = parts(link, "primary");
  openDialog(t("hud.invite"), [h("p", { class: "lead", text: about }), text, copy, done], { closed });
  copy.focus();
}

/** The same beside other things of a dialog. */
export function linkRow(link: string): HTMLElement {
  const { text, copy, done } = parts(link, "secondary");
  return h("div", { class: "link-row" }, text, copy, done);
}

function parts(link: string, kind: "primary" | "secondary"): Record<"text" | "copy" | "done", HTMLElement> {
  const text = h("input", { attrs: { type: "text", readonly: true, "aria-label": t("hud.invite"), value: link } });
  text.addEventListener("focus", () => text.select());
  const copy = h("button", { class: kind, attrs: { type: "button" } }, icon("link"), t("link.copy"));
  const done = h("p", { class: "hint", attrs: { role: "status" } });
  copy.addEventListener("click", () => {
    void copied(link, text).then((yes) => {
      done.textContent = t(yes ? "link.copied" : "link.by_hand");
    });
  });
  return { text, copy, done };
}

/** Only pages that came over TLS, or from this machine, may copy by themselves. */
async function copied(link: string, text: HTMLInputElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(link);
    return true;
  } catch {
    text.focus();
    return false;
  }
}
