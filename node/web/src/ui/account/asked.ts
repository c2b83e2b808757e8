// Which part of their account somebody is sent to, as the address says it (client-server API, account management).

/** What is shown: all, or the one part that was asked for. */
export type View =
  | { part: "all" | "profile" | "devices" | "password" | "keys" | "end" }
  | { part: "device" | "sign-out"; deviceId: string };

/** What an address asks for; `understood` says whether it asked for anything that this page does not do. */
export interface Asked {
  view: View;
  understood: boolean;
}

/** The names of the specification, with those that it had as a proposal, which programs still use. */
const ACTIONS: Record<string, View["part"]> = {
  "org.matrix.profile": "profile",
  "org.matrix.devices_list": "devices",
  "org.matrix.sessions_list": "devices",
  "org.matrix.device_view": "device",
  "org.matrix.session_view": "device",
  "org.matrix.device_delete": "sign-out",
  "org.matrix.session_end": "sign-out",
  "org.matrix.account_deactivate": "end",
  "org.matrix.cross_signing_reset": "keys",
};

export function asked(address: URL): Asked {
  const action = address.searchParams.get("action") ?? "";
  if (action === "") return { view: { part: "all" }, understood: true };
  const part = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
  if (part === undefined) return { view: { part: "all" }, understood: false };
  if (part !== "device" && part !== "sign-out") return { view: { part }, understood: true };
  const deviceId = address.searchParams.get("device_id") ?? "";
  // Whoever is to choose a device chooses among all.
  return { view: deviceId === "" ? { part: "devices" } : { part, deviceId }, understood: true };
}

/** The address that asks for a part. */
export function addressOf(view: View): string {
  const action = Object.keys(ACTIONS).find((name) => ACTIONS[name] === view.part);
  if (action === undefined) return "/account";
  const given = new URLSearchParams({ action });
  if ("deviceId" in view) given.set("device_id", view.deviceId);
  return `/account?${given}`;
}
