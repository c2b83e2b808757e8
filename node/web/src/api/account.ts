// What somebody looks after of their account: their name, addresses, devices and password, and its end.
import { ask } from "./http";
import type { Session } from "./session";

/** A device as the node lists it (client-server API, device management). */
export interface Device {
  device_id: string;
  display_name?: string | null;
  last_seen_ts?: number | null;
  last_seen_ip?: string | null;
}

const CLIENT = "/_matrix/client/v3";
const deviceAt = (id: string): string => `${CLIENT}/devices/${encodeURIComponent(id)}`;

export async function devices({ token }: Session): Promise<Device[]> {
  return (await ask<{ devices: Device[] }>("GET", `${CLIENT}/devices`, { token })).devices;
}

export async function renameDevice({ token }: Session, id: string, name: string): Promise<void> {
  await ask("PUT", deviceAt(id), { body: { display_name: name }, token });
}

export async function removeDevice({ token }: Session, id: string, auth: object): Promise<void> {
  await ask("DELETE", deviceAt(id), { body: auth, token });
}

/** What others call somebody; nothing, where they have not said. */
export async function displayName({ token, userId }: Session): Promise<string> {
  const path = `${CLIENT}/profile/${encodeURIComponent(userId)}`;
  return (await ask<{ displayname?: string }>("GET", path, { token })).displayname ?? "";
}

export async function setDisplayName({ token, userId }: Session, name: string): Promise<void> {
  const path = `${CLIENT}/profile/${encodeURIComponent(userId)}/displayname`;
  await ask("PUT", path, { body: { displayname: name }, token });
}

/** The addresses of e-mail that belong to the account. */
export async function addresses({ token }: Session): Promise<string[]> {
  const { threepids } = await ask<{ threepids: { address: string }[] }>("GET", `${CLIENT}/account/3pid`, { token });
  return threepids.map(({ address }) => address);
}

/** Sets a new password, and signs every other device out where that is wanted. */
export async function setPassword({ token }: Session, password: string, others: boolean, auth: object): Promise<void> {
  const body = { new_password: password, logout_devices: others, ...auth };
  await ask("POST", `${CLIENT}/account/password`, { body, token });
}

/** Ends the account for ever; what they said and who they were is kept from those who come later, where that is wanted. */
export async function endAccount({ token }: Session, erase: boolean, auth: object): Promise<void> {
  await ask("POST", `${CLIENT}/account/deactivate`, { body: { erase, ...auth }, token });
}
