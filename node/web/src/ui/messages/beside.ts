// Messages beside the list of worlds: a button that opens them, and the cards that wait.
import { t } from "../../i18n";
import type { Address } from "../../travel/address";
import { h } from "../dom";
import { icon } from "../icons";
import { closeDialog, dialogIsOpen, openDialog } from "../shell";
import { cards } from "./cards";
import type { Messages } from "./model";
import { MessagesPanel } from "./panel";

export interface BesideDoors {
  serverName: string;
  /** Goes into a world. */
  enter(world: Address): void;
  /** The person was invited to a world, or one is otherwise than it was. */
  worldsChanged(): void;
}

/** Opens the conversation with somebody: that of a room, where it is known, or else the one that there is with them. */
export type Write = (userId: string, roomId: string) => void;

/** Puts both into the screen of worlds, for as long as that is shown; what it returns opens a conversation there. */
export function besideWorlds(messages: Messages, place: HTMLElement, doors: BesideDoors): Write {
  const { open, write, dispose } = messagesDialog(messages, doors);
  const badge = h("span", { class: "badge", attrs: { hidden: true } });
  const attrs = { type: "button" };
  const button = h("button", { class: "ghost worlds-messages", attrs }, icon("chat"), h("span", { text: t("messages.title") }), badge);
  button.addEventListener("click", open);
  place.querySelector(".bar-buttons")?.prepend(button);
  const notes = cards(messages, { opens: () => {}, closed: () => {} });
  place.querySelector(".worlds-head")?.after(notes.element);
  let print: string | null = null;
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
    const now = messages.worldsPrint;
    if (print !== null && now !== null && now !== print) doors.worldsChanged();
    print = now;
  };
  const unwatch = messages.watch(update);
  update();
  return write;
}

interface Opener {
  open(): void;
  write: Write;
  dispose(): void;
}

/** Opens conversations in a dialog, which comes back after those that it opens itself. */
function messagesDialog(messages: Messages, { serverName, enter }: BesideDoors): Opener {
  let beneath = false;
  const doors = {
    enter,
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
  const write: Write = (userId, roomId) => {
    open();
    void panel.write(userId, roomId);
  };
  return { open, write, dispose: () => panel.dispose() };
}
