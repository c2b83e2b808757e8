// The question whether a node is shown what it asks to see.
import { loadMore, t } from "../i18n";
import type { Disclosure } from "../travel/disclosure";
import { iconOf, saidText } from "./badges/said";
import { freshId, h } from "./dom";
import { icon } from "./icons";
import { closeDialog, openDialog } from "./shell";

/** So long it is in view before anybody can say yes: nobody does by a press that was meant for the world. */
const CALM_MS = 800;

/** Fetches the words. */
export async function consentReady(): Promise<void> {
  await Promise.all([loadMore("badges"), loadMore("travel")]);
}

/** Asks; whoever closes the dialog goes without. */
export function consentDialog(node: string, disclosures: readonly Disclosure[], pause: (yes: boolean) => void): Promise<boolean> {
  return new Promise((resolve) => {
    let says = false;
    const show = h("button", { class: "primary", text: t("travel.show_it"), attrs: { type: "button", disabled: true } });
    show.addEventListener("click", () => {
      says = true;
      closeDialog();
    });
    const without = h("button", { class: "quiet", text: t("travel.show_not"), attrs: { type: "button" } });
    without.addEventListener("click", closeDialog);
    const calm = setTimeout(() => (show.disabled = false), CALM_MS);
    const closed = (): void => {
      clearTimeout(calm);
      pause(false);
      resolve(says);
    };
    const what = about(node, disclosures);
    const dialog = openDialog(t("travel.show_title", { node }), [what, show, without], { closed });
    dialog.setAttribute("aria-describedby", what.id);
    pause(true);
    // No button has the focus: a key that was held for walking would answer.
    what.focus({ preventScroll: true });
  });
}

function about(node: string, disclosures: readonly Disclosure[]): HTMLElement {
  const rows = disclosures.map((one) => h("li", {}, h("div", { class: "held-head" }, icon(iconOf(one.saying)), saidText(one))));
  return h(
    "div",
    { class: "disclosures", attrs: { id: freshId("disclosures"), tabindex: -1 } },
    h("p", { class: "lead", text: t("travel.show_lead", { node }) }),
    h("ul", { class: "held-list" }, ...rows),
    h("p", { class: "hint", text: t("travel.show_keeps", { node }) }),
  );
}
