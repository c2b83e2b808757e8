// Friends beside the list of worlds: a button that opens them, with how many ask.
import type { Friend, Place } from "../../api/friends";
import type { Friends } from "../../friends/model";
import { t } from "../../i18n";
import { h } from "../dom";
import { icon } from "../icons";
import { closeDialog, openDialog } from "../shell";
import { FriendsPanel } from "./panel";

export interface BesideDoors {
  serverName: string;
  join(place: Place): void;
  /** Writes to a friend; null where there are no conversations. */
  write: ((friend: Friend) => void) | null;
}

/** Puts it into the screen of worlds, for as long as that is shown. */
export function besideWorlds(friends: Friends, place: HTMLElement, doors: BesideDoors): void {
  const panel = new FriendsPanel(friends, {
    serverName: doors.serverName,
    isHere: () => false,
    leave: closeDialog,
    join: (where) => {
      closeDialog();
      doors.join(where);
    },
    write: doors.write && ((friend) => doors.write?.(friend)),
  });
  const open = (): void => {
    const dialog = openDialog(t("friends.title"), [panel.element], { closed: () => panel.show(false) });
    dialog.classList.add("messages-dialog");
    panel.show(true);
    panel.focus();
  };
  const { badge, update } = requestsBadge(friends);
  const button = h("button", { class: "ghost worlds-friends", attrs: { type: "button" } }, icon("people"), h("span", { text: t("friends.title") }), badge);
  button.addEventListener("click", open);
  place.querySelector(".bar-buttons")?.prepend(button);
  const watch = (): void => {
    if (place.isConnected) {
      update();
      return;
    }
    unwatch();
    panel.dispose();
  };
  const unwatch = friends.watch(watch);
  watch();
}

/** A dot with how many ask, and the words for it. */
function requestsBadge(friends: Friends): { badge: HTMLElement; update(): void } {
  const badge = h("span", { class: "badge", attrs: { hidden: true } });
  const update = (): void => {
    const { requests } = friends;
    badge.hidden = requests === 0;
    const unseen = h("span", { class: "unseen", text: t("friends.requests", { count: requests }) });
    badge.replaceChildren(h("span", { text: `${requests}`, attrs: { "aria-hidden": "true" } }), unseen);
  };
  return { badge, update };
}
