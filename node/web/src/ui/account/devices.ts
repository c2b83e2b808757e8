// The devices on which somebody is signed in: all of them, one of them, and signing one out.
import { type Device, devices, removeDevice, renameDevice } from "../../api/account";
import type { Session } from "../../api/session";
import { locale, t } from "../../i18n";
import { field, h } from "../dom";
import { form, type Place, prove } from "../proof";
import type { View } from "./asked";
import { button, part, type Part } from "./part";

export interface DeviceDoors {
  go(view: View, said?: string): void;
  /** Signs this browser out. */
  signOut(): void;
}

export const calledAs = ({ device_id: id, display_name: name }: Device): string => name || id;

/** All of them, this browser first and then the latest. */
export function devicesPart(session: Session, doors: DeviceDoors): Part {
  return part(session, t("account.devices"), t("account.devices_lead"), async () => {
    const all = await devices(session);
    const latest = (one: Device): number => (one.device_id === session.deviceId ? Infinity : (one.last_seen_ts ?? 0));
    const rows = [...all].sort((one, other) => latest(other) - latest(one)).map(row);
    return [h("ul", { class: "device-list" }, ...rows)];
  });

  function row(device: Device): HTMLElement {
    const name = calledAs(device);
    const show = button("secondary", t("account.show"), () => doors.go({ part: "device", deviceId: device.device_id }), t("account.show_one", { device: name }));
    return h("li", {}, h("div", {}, h("strong", { text: name }), h("p", { class: "hint", text: seen(device, session) })), show);
  }
}

function seen({ device_id: id, last_seen_ts: ms }: Device, session: Session): string {
  if (id === session.deviceId) return t("account.this");
  return ms ? t("account.seen", { when: time(ms) }) : t("account.unseen");
}

const time = (ms: number): string => new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "short" }).format(ms);

/** What is known of one, and its name, which its person may change. */
export function devicePart(session: Session, device: Device, doors: DeviceDoors): Part {
  const known = { ...device };
  const pairs = (): [string, string][] => [
    [t("account.device_name"), calledAs(known)],
    [t("account.device_id"), known.device_id],
    [t("account.device_seen"), seen(known, session)],
    ...(known.last_seen_ip ? [[t("account.device_from"), known.last_seen_ip] as [string, string]] : []),
  ];
  return part(session, t("account.device"), t("account.device_lead"), async (place) => {
    const all = pairs().flatMap(([name, value]) => [h("dt", { text: name }), h("dd", { text: value })]);
    const rename = button("secondary", t("account.rename"), () => renaming(place));
    return [h("dl", { class: "device" }, ...all), h("div", { class: "row" }, rename, toAll(doors))];
  });

  function renaming(place: Place): void {
    const given = field(t("account.device_name"), { name: "device-name", autocomplete: "off", maxlength: 100, required: true, value: known.display_name ?? "" });
    const save = async (): Promise<void> => {
      const name = given.input.value.trim();
      await renameDevice(session, known.device_id, name);
      known.display_name = name;
      await place.list(t("account.renamed"));
    };
    form(place, t("account.rename"), null, [given.row], { text: t("account.save"), deed: save });
    given.input.select();
  }
}

const toAll = (doors: DeviceDoors): HTMLButtonElement => button("quiet", t("account.all_devices"), () => doors.go({ part: "devices" }));

/** Signing one out, which is said before it is done: anybody can make a link that leads here. */
export function signOutPart(session: Session, device: Device, doors: DeviceDoors): Part {
  const name = calledAs(device);
  const isThis = device.device_id === session.deviceId;
  const lead = t(isThis ? "account.sign_out_this" : "account.sign_out_lead");
  return part(session, t("account.sign_out_one", { device: name }), lead, async (place) => {
    if (isThis) return [button("secondary", t("account.sign_out"), doors.signOut)];
    const deed = {
      title: t("account.sign_out_one", { device: name }),
      lead: t("account.prove"),
      button: t("account.sign_out"),
      run: async (auth: object): Promise<void> => {
        await removeDevice(session, device.device_id, auth);
        doors.go({ part: "devices" }, t("account.signed_out", { device: name }));
      },
      done: t("account.signed_out", { device: name }),
    };
    const out = h("button", { class: "secondary", text: t("account.sign_out"), attrs: { type: "button" } });
    out.addEventListener("click", () => prove(place, deed, out));
    return [out];
  });
}
