// Messages beside the list of worlds: a button that opens them, and the cards that wait.
import { t } from "../../i18n";
import { h } from "../dom";
import { icon } from "../icons";
import { closeDialog, dialogIsOpen, openDialog } from "../shell";
import { cards } from "./cards";
import type { Messages } from "./model";
import { MessagesPanel } from "./panel";

/** Puts both into the screen of worlds, for as long as that is shown. */
export function besideWorlds(messages: Messages, place: HTMLElement, serverName: string): void {
  const { open, dispose } = messagesDialog(messages, serverName);
  const badge = h("span", { class: "badge", attrs: { hidden: true } });
  const attrs = { type: "button" };
  const button = h("button", { class: "ghost worlds-messages", attrs }, icon("chat"), h("span", { text: t("messages.title") }), badge);
  button.addEventListener("click", open);
  place.querySelector(".bar-buttons")?.prepend(button);
  const notes = cards(messages, { opens: () => {}, closed: () => {} });
  place.querySelector(".worlds-head")?.after(notes.element);
  const update = (): void => {
    if (!place.isConnected) {
      unwatch();
      dispose();
      return;
    }
    const waiting = messages.waiting(null);
    badge.hidden = waiting === 0;
    badge.textContent = `${waiting}`;
    notes.update();
  };
  const unwatch = messages.watch(update);
  update();
}

/** Opens conversations in a dialog, which comes back after those that it opens itself. */
function messagesDialog(messages: Messages, serverName: string): { open(): void; dispose(): void } {
  let beneath = false;
  const doors = {
    opens: () => {
      beneath = true;
    },
    closed: () =>
      setTimeout(() => {
        if (beneath && !dialogIsOpen()) open();
      }),
    leave: closeDialog,
    serverName,
    worldId: null,
  };
  const panel = new MessagesPanel(messages, doors);
  const open = (): void => {
    beneath = false;
    const dialog = openDialog(t("messages.title"), [panel.element], { closed: () => panel.show(false) });
    dialog.classList.add("messages-dialog");
    panel.show(true);
    panel.focus();
  };
  return { open, dispose: () => panel.dispose() };
}
