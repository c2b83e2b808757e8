// The dialog of the person's own devices and of the recovery key.
import type { Proof } from "../../api/proof";
import type { OwnDevice } from "../../device/protocol";
import { locale, t } from "../../i18n";
import { h } from "../dom";
import { notice, openDialog } from "../shell";
import type { Messages } from "./model";
import { proving, recoveryDialog } from "./recovery";
import { verify } from "./verify";
import { words } from "./words";

export async function devicesDialog(messages: Messages, closed: () => void = () => {}): Promise<void> {
  try {
    const devices = await messages.call("devices");
    openDialog(t("devices.title"), content(messages, devices, closed), { closed });
  } catch (error) {
    notice(words(error), "bad");
  }
}

function content(messages: Messages, devices: readonly OwnDevice[], closed: () => void): Node[] {
  const own = messages.overview?.own;
  const ready = own?.recovery === "ready";
  const make = h("button", {
    class: "secondary",
    text: ready ? t("devices.recovery_new") : t("card.recovery_do"),
    attrs: { type: "button", disabled: own?.trust !== "verified" },
  });
  make.addEventListener("click", () => void recoveryDialog(messages, closed));
  return [
    h("p", { class: "lead", text: t("devices.lead") }),
    h("ul", { class: "rows" }, ...devices.map((device) => row(messages, device, closed))),
    h(
      "section",
      { class: "warned" },
      h("h4", { text: t("devices.recovery") }),
      h("p", { class: "hint", text: ready ? t("devices.recovery_ready") : t("devices.recovery_missing") }),
      h("p", { class: "hint", text: own?.backup ? t("devices.backup_on") : t("devices.backup_off") }),
      make,
    ),
  ];
}

function row(messages: Messages, device: OwnDevice, closed: () => void): HTMLElement {
  const { deviceId, name, isThis, verified, hasKeys, seenMs } = device;
  const time = new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "short" });
  const notes = [
    isThis && t("devices.this"),
    verified ? t("devices.verified") : hasKeys ? t("devices.unverified") : t("devices.no_keys"),
    !isThis && seenMs !== null && t("devices.seen", { time: time.format(seenMs) }),
  ];
  const ask = h("button", { class: "secondary", text: t("card.verify"), attrs: { type: "button" } });
  ask.addEventListener("click", () => void verify(messages, { kind: "device", deviceId }, closed));
  const label = t("devices.sign_out_name", { device: name });
  const out = h("button", { class: "quiet", text: t("devices.sign_out"), attrs: { type: "button", "aria-label": label } });
  out.addEventListener("click", () => void signOutDialog(messages, device, closed));
  const text = h(
    "span",
    { class: "row-text" },
    h("b", { text: name }),
    h("span", { class: "note", text: notes.filter((note) => note !== false).join(" · ") }),
  );
  return h("li", { attrs: { title: deviceId } }, text, !isThis && out, !isThis && hasKeys && !verified && ask);
}

/** Signs another device of the person out, for which the node wants a proof. */
export function signOutDialog(messages: Messages, { deviceId, name }: OwnDevice, closed: () => void = () => {}): Promise<void> {
  const deed = {
    title: t("devices.sign_out_title", { device: name }),
    about: t("devices.sign_out_about"),
    label: t("devices.sign_out"),
    run: (proof: Proof) => messages.call("removeDevice", deviceId, proof),
    done: t("devices.signed_out"),
  };
  return proving(messages, deed, closed);
}
