// What the person should know or do about their keys, as short cards that stay until it is done.
import { t } from "../../i18n";
import { h } from "../dom";
import { icon, type Icon } from "../icons";
import { dialogIsOpen } from "../shell";
import { signOutDialog } from "./devices";
import type { Messages } from "./model";
import { recoveryDialog, resetDialog, restoreDialog } from "./recovery";
import { accept, verify } from "./verify";

/** Tells of a dialog that opens and closes: the keys of a world rest meanwhile. */
export interface DialogDoors {
  opens(): void;
  closed(): void;
}

interface Card {
  id: string;
  icon: Icon;
  title: string;
  about: string;
  deeds: [string, (closed: () => void) => unknown][];
}

/** A place for cards that are kept as they should be now. */
export function cards(messages: Messages, doors: DialogDoors): { element: HTMLElement; update(): void } {
  const element = h("div", { class: "cards" });
  let print = "";
  const update = (): void => {
    const all = cardsNow(messages);
    const now = JSON.stringify(all.map(({ id, title }) => [id, title]));
    if (now === print) return;
    print = now;
    element.replaceChildren(...all.map((card) => drawn(card, doors)));
  };
  return { element, update };
}

function drawn(card: Card, doors: DialogDoors): HTMLElement {
  const buttons = card.deeds.map(([text, deed], index) => {
    const button = h("button", { class: index === 0 ? "secondary" : "quiet", text, attrs: { type: "button" } });
    button.addEventListener("click", () => {
      doors.opens();
      // What went wrong before there was a dialog has closed none.
      void Promise.resolve(deed(() => doors.closed())).then(() => {
        if (!dialogIsOpen()) doors.closed();
      });
    });
    return button;
  });
  return h(
    "section",
    { class: `note-card ${card.id}`, attrs: { "aria-label": card.title } },
    icon(card.icon),
    h("div", {}, h("b", { text: card.title }), card.about !== "" && h("p", { text: card.about })),
    h("div", { class: "row" }, ...buttons),
  );
}

function cardsNow(messages: Messages): Card[] {
  const { overview, silent } = messages;
  if (silent) return [{ id: "silent", icon: "caution", title: t("card.silent"), about: "", deeds: [] }];
  if (!overview) return [];
  const { phase, own, flows, signIns } = overview;
  if (phase === "lost") {
    const deed = (): void => messages.signInAgain();
    return [{ id: "lost", icon: "caution", title: t("card.lost"), about: "", deeds: [[t("card.lost_do"), deed]] }];
  }
  if (phase === "failed") {
    const deed = (): void => location.reload();
    return [{ id: "failed", icon: "caution", title: t("card.failed"), about: "", deeds: [[t("card.failed_do"), deed]] }];
  }
  const all: Card[] = [];
  for (const flow of flows.filter(({ stage }) => stage === "asked")) {
    all.push({
      id: "asks",
      icon: "shield",
      title: flow.self ? t("card.asks_self") : t("card.asks", { name: flow.name }),
      about: "",
      deeds: [
        [t("card.compare"), (closed) => accept(messages, flow, closed)],
        [t("card.refuse"), (closed) => refuse(messages, flow.id).then(closed)],
      ],
    });
  }
  for (const device of signIns) {
    // One that compares is told of already.
    if (flows.some(({ deviceId, stage }) => deviceId === device.deviceId && stage === "asked")) continue;
    const whom = { kind: "device", deviceId: device.deviceId } as const;
    all.push({
      id: "sign-in",
      icon: "caution",
      title: t("card.sign_in", { device: device.name }),
      about: t("card.sign_in_about"),
      deeds: [
        [t("card.verify"), (closed) => verify(messages, whom, closed)],
        [t("card.not_me"), (closed) => signOutDialog(messages, device, closed)],
      ],
    });
  }
  if (own.trust === "unverified" && own.recovery !== "unknown") all.push(unverified(messages, own.recovery === "ready"));
  if (own.trust === "verified" && own.recovery === "missing") {
    all.push({
      id: "recovery",
      icon: "key",
      title: t("card.recovery"),
      about: t("card.recovery_about"),
      deeds: [[t("card.recovery_do"), (closed) => recoveryDialog(messages, closed)]],
    });
  }
  return all;
}

function unverified(messages: Messages, hasKey: boolean): Card {
  const withKey: Card["deeds"] = hasKey ? [[t("card.with_key"), (closed) => restoreDialog(messages, closed)]] : [];
  return {
    id: "unverified",
    icon: "shield",
    title: t("card.unverified"),
    about: t("card.unverified_about"),
    deeds: [
      ...withKey,
      [t("card.with_device"), (closed) => verify(messages, { kind: "device", deviceId: null }, closed)],
      [t(hasKey ? "card.with_nothing" : "card.with_no_device"), (closed) => resetDialog(messages, closed)],
    ],
  };
}

async function refuse(messages: Messages, id: string): Promise<void> {
  await messages.call("cancelFlow", id).catch(console.warn);
  await messages.call("dismissFlow", id).catch(console.warn);
}
