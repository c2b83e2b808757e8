// Asks somebody who goes to a node for the first time whether they do, since it learns who they are.
import { t } from "../i18n";
import { h } from "./dom";
import { closeDialog, openDialog } from "./shell";

/** Says whether they go; `asks` hears when the dialog opens and closes. */
export function goingDialog(serverName: string, asks: (yes: boolean) => void): Promise<boolean> {
  return new Promise((resolve) => {
    let says = false;
    const go = h("button", { class: "primary", text: t("welcome.enter"), attrs: { type: "button" } });
    go.addEventListener("click", () => {
      says = true;
      closeDialog();
    });
    const stay = h("button", { class: "quiet", text: t("portals.stay"), attrs: { type: "button" } });
    stay.addEventListener("click", closeDialog);
    const lead = h("p", { class: "lead away", text: t("welcome.away", { node: serverName }) });
    const closed = (): void => {
      asks(false);
      resolve(says);
    };
    openDialog(t("welcome.go_away", { node: serverName }), [lead, go, stay], { closed });
    asks(true);
    go.focus();
  });
}
