// The shield: how far a conversation is kept from others, as a picture, in words, and at length.
import type { Conversation, Person, Shield } from "../../device/protocol";
import { t } from "../../i18n";
import { hue } from "../../people";
import { busy, h, say } from "../dom";
import { icon, type Icon } from "../icons";
import { closeDialog, notice, openDialog } from "../shell";
import type { DialogDoors } from "./cards";
import type { Messages } from "./model";
import { verify } from "./verify";
import { words } from "./words";

const ICONS: Record<Shield, Icon> = {
  open: "unlocked",
  plain: "unlocked",
  encrypted: "shield",
  verified: "verified",
  changed: "caution",
};

/** As a picture beside a name, with the words for who does not see it. */
export function shieldMark(shield: Shield): HTMLElement {
  const text = t(`shield.${shield}`);
  const mark = h("span", { class: `shield ${shield}`, attrs: { title: text } }, icon(ICONS[shield]));
  mark.append(h("span", { class: "unseen", text }));
  return mark;
}

/** As a button that shows more. */
export function shieldButton(messages: Messages, conversation: Conversation, doors: DialogDoors): HTMLButtonElement {
  const { shield } = conversation;
  const about = t(`shield.${shield}_about`);
  const label = t("shield.details", { shield: t(`shield.${shield}`) });
  const attrs = { type: "button", title: `${t(`shield.${shield}`)}. ${about}`, "aria-label": label };
  const button = h("button", { class: `round small shield ${shield}`, attrs }, icon(ICONS[shield]));
  button.addEventListener("click", () => {
    doors.opens();
    detailsDialog(messages, conversation.roomId, () => doors.closed());
  });
  return button;
}

/** Everything about how a conversation is kept, and what can be done about it. */
export function detailsDialog(messages: Messages, roomId: string, closed: () => void): void {
  const body = h("div", { class: "details" });
  let print = "";
  const draw = (): void => {
    const conversation = messages.conversation(roomId);
    if (!conversation) return;
    const now = JSON.stringify(conversation);
    if (now === print) return;
    print = now;
    body.replaceChildren(...details(messages, conversation, closed));
  };
  draw();
  const unwatch = messages.watch(draw);
  const isWorld = messages.conversation(roomId)?.kind === "world";
  openDialog(t(isWorld ? "hud.about" : "details.title"), [body], {
    closed: () => {
      unwatch();
      closed();
    },
  });
}

function details(messages: Messages, conversation: Conversation, closed: () => void): Node[] {
  const { shield, people, kind, mayEncrypt } = conversation;
  const parts: Node[] = [
    h("h3", { class: `shield-title ${shield}` }, icon(ICONS[shield]), h("span", { text: t(`shield.${shield}`) })),
    h("p", { class: "lead", text: t(`shield.${shield}_about`) }),
  ];
  // The node itself keeps a world, and reads nothing of it that is encrypted.
  const readers = people.filter(({ trust }) => kind !== "world" || trust !== "no_keys");
  if (readers.length > 0) {
    const rows = readers.map((person) => personRow(messages, person, closed));
    parts.push(h("h4", { text: t("details.people") }), h("ul", { class: "rows" }, ...rows));
  }
  if (mayEncrypt && shield === "plain") parts.push(encryption(messages, conversation));
  parts.push(leaving(messages, conversation));
  return parts;
}

export function markOf(userId: string, name: string): HTMLElement {
  const mark = h("span", { class: "mark", text: [...name][0]?.toUpperCase() ?? "?", attrs: { "aria-hidden": "true" } });
  mark.style.setProperty("--hue", `${Math.round(hue(userId) * 360)}`);
  return mark;
}

function personRow(messages: Messages, { userId, name, trust }: Person, closed: () => void): HTMLElement {
  const label = t("details.verify_name", { name });
  const ask = h("button", { class: "secondary", text: t("details.verify"), attrs: { type: "button", "aria-label": label } });
  ask.addEventListener("click", () => void verify(messages, { kind: "person", userId, name }, closed));
  const onLabel = t("details.go_on_name", { name });
  const goOn = h("button", { class: "quiet", text: t("details.go_on"), attrs: { type: "button", "aria-label": onLabel } });
  goOn.addEventListener("click", () =>
    void busy(goOn, async () => {
      await messages.call("acceptChange", userId).catch((error: unknown) => notice(words(error), "bad"));
    }),
  );
  const text = h("span", { class: "row-text" }, h("b", { text: name }), h("span", { class: "note", text: t(`details.${trust}`) }));
  const offers = trust === "unverified" || trust === "changed";
  return h("li", { class: trust, attrs: { title: userId } }, markOf(userId, name), text, trust === "changed" && goOn, offers && ask);
}

function encryption(messages: Messages, { roomId, kind }: Conversation): HTMLElement {
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const go = h("button", { class: "secondary", attrs: { type: "button" } }, icon("shield"), t("details.encrypt_do"));
  go.addEventListener("click", () =>
    void busy(go, async () => {
      try {
        await messages.call("encrypt", roomId);
        notice(t("details.encrypt_done"));
      } catch (error) {
        say(wrong, words(error));
      }
    }),
  );
  const about = h("p", { class: "hint", text: t("details.encrypt_about") });
  return h("section", { class: "warned" }, h("h4", { text: t(kind === "world" ? "details.encrypt_world" : "details.encrypt") }), about, wrong, go);
}

function leaving(messages: Messages, { roomId, kind }: Conversation): HTMLElement {
  const isWorld = kind === "world";
  const text = t(isWorld ? "details.leave_world" : "messages.leave");
  const leave = h("button", { class: "quiet", text, attrs: { type: "button" } });
  leave.addEventListener("click", () =>
    void busy(leave, async () => {
      if (!confirm(t(isWorld ? "details.leave_world_sure" : "messages.leave_sure"))) return;
      try {
        await messages.call("leave", roomId);
        closeDialog();
      } catch (error) {
        notice(words(error), "bad");
      }
    }),
  );
  return leave;
}
