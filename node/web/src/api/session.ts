// Who is signed in here: coming in as a guest or with a password, staying, going.
import { ApiError, ask } from "./http";

/** The account that this browser holds. */
export interface Session {
  userId: string;
  /** Null until the node has said it. */
  deviceId: string | null;
  token: string;
  name: string;
  guest: boolean;
}

const KEY = "wayside.session";
/** By its own words; the first that fits counts, since browsers say that they are others too. */
const BROWSERS = { Firefox: "Firefox/", Edge: "Edg", Opera: "OPR/", Chrome: "Chrome/", Safari: "Safari/" };
const SYSTEMS = { Android: "Android", iPhone: "iPhone", iPad: "iPad", Windows: "Windows", Mac: "Mac OS", Linux: "Linux" };

interface SignedIn {
  user_id: string;
  device_id?: string;
  access_token: string;
}

/** As it is kept; the page of invitations of earlier nodes wrote no name and kept only guests. */
interface Kept extends SignedIn {
  name?: string;
  guest?: boolean;
}

/** The account of the last visit, as far as this browser remembers it. */
export function remembered(): Session | null {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "null") as Kept | null;
    if (!kept?.access_token) return null;
    const { user_id: userId, device_id: deviceId = null, access_token: token } = kept;
    return { userId, deviceId, token, name: kept.name ?? localpart(userId), guest: kept.guest ?? true };
  } catch {
    return null;
  }
}

function remember(session: Session): Session {
  const { userId: user_id, deviceId: device_id, token: access_token, name, guest } = session;
  try {
    localStorage.setItem(KEY, JSON.stringify({ user_id, device_id: device_id ?? undefined, access_token, name, guest }));
  } catch {
    // A browser that keeps nothing still lets its person in, for as long as the page is open.
  }
  return session;
}

/** The same session under the name that its person has chosen. */
export const renamed = (session: Session, name: string): Session => remember({ ...session, name });

export function forget(): void {
  localStorage.removeItem(KEY);
}

/** The same session as the node knows it now, or null where it knows it no longer. */
export async function confirmed(session: Session): Promise<Session | null> {
  try {
    const { token, userId } = session;
    const who = await ask<{ is_guest?: boolean; device_id?: string }>("GET", "/_matrix/client/v3/account/whoami", {
      token,
    });
    const path = `/_matrix/client/v3/profile/${encodeURIComponent(userId)}`;
    const profile = await ask<{ displayname?: string }>("GET", path, { token }).catch(
      (): { displayname?: string } => ({}),
    );
    const name = profile.displayname ?? session.name;
    const deviceId = who.device_id ?? session.deviceId;
    return remember({ ...session, deviceId, name, guest: who.is_guest ?? session.guest });
  } catch (error) {
    if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
      forget();
      return null;
    }
    throw error;
  }
}

export async function enterAsGuest(name: string, invitation: string | null): Promise<Session> {
  const body = {
    initial_device_display_name: deviceName(),
    ...(invitation ? { auth: { type: "m.login.registration_token", token: invitation } } : {}),
  };
  const made = await ask<SignedIn>("POST", "/_matrix/client/v3/register?kind=guest", { body });
  return named(made, name, true);
}

export async function register(
  name: string,
  password: string,
  invitation: string | null,
): Promise<Session> {
  const auth = invitation
    ? { type: "m.login.registration_token", token: invitation }
    : { type: "m.login.dummy" };
  const body = {
    auth,
    username: usernameOf(name),
    password,
    initial_device_display_name: deviceName(),
  };
  const made = await ask<SignedIn>("POST", "/_matrix/client/v3/register", { body });
  return named(made, name, false);
}

export async function signIn(user: string, password: string): Promise<Session> {
  const name = user.trim();
  // No name of an account has this sign within it.
  const identifier = /^[^@]+@/.test(name)
    ? { type: "m.id.thirdparty", medium: "email", address: name }
    : { type: "m.id.user", user: name };
  return login({ type: "m.login.password", identifier, password });
}

/** Signs somebody in who has proven on the sign-in page who they are. */
export const signInByToken = (token: string): Promise<Session> => login({ type: "m.login.token", token });

async function login(proof: object): Promise<Session> {
  const body = { ...proof, initial_device_display_name: deviceName() };
  const made = await ask<SignedIn>("POST", "/_matrix/client/v3/login", { body });
  const { user_id: userId, device_id: deviceId = null, access_token: token } = made;
  const session = { userId, deviceId, token, name: localpart(userId), guest: false };
  return (await confirmed(session)) ?? session;
}

/** What this device is called in the list of those where somebody is signed in. */
function deviceName(): string {
  return `Wayside in ${browserName()}`;
}

/** The browser and what it runs on. */
export function browserName(): string {
  const find = (names: Record<string, string>): string | undefined =>
    Object.keys(names).find((name) => navigator.userAgent.includes(names[name] ?? name));
  const system = find(SYSTEMS);
  return `${find(BROWSERS) ?? "a browser"}${system ? ` on ${system}` : ""}`;
}

/** Makes a guest a member under the same name, without leaving. */
export async function keep(
  session: Session,
  password: string,
  invitation: string | null,
): Promise<Session> {
  const body = { password, ...(invitation ? { invitation } : {}) };
  await ask("POST", "/_wayside/v1/account/keep", { body, token: session.token });
  return remember({ ...session, guest: false });
}

export async function signOut(session: Session): Promise<void> {
  forget();
  await ask("POST", "/_matrix/client/v3/logout", { body: {}, token: session.token });
}

async function named(made: SignedIn, name: string, guest: boolean): Promise<Session> {
  const { user_id: userId, device_id: deviceId = null, access_token: token } = made;
  const path = `/_matrix/client/v3/profile/${encodeURIComponent(userId)}/displayname`;
  await ask("PUT", path, { body: { displayname: name }, token });
  return remember({ userId, deviceId, token, name, guest });
}

/** Answers a refusal that asks for the password of the account. */
export function passwordProof(userId: string, password: string, refusal: ApiError): object {
  const identifier = { type: "m.id.user", user: userId };
  return { auth: { type: "m.login.password", identifier, password, session: refusal.body.session } };
}

/** What a shown name becomes where only small letters and digits are taken. */
export function usernameOf(name: string): string {
  const plain = name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  return plain.trim().replace(/\s+/g, "_").replace(/[^a-z0-9._=/+-]/g, "");
}

/** A whole Matrix id of what somebody typed; one without a node is of this one. */
export function fullAddress(typed: string, serverName: string): string {
  const bare = typed.trim().replace(/^@/, "");
  return bare.includes(":") ? `@${bare}` : `@${bare}:${serverName}`;
}

export function localpart(userId: string): string {
  return userId.replace(/^@/, "").split(":")[0] ?? userId;
}

/** The server name in a Matrix id. */
export function serverOf(userId: string): string {
  return userId.slice(userId.indexOf(":") + 1);
}

/** The home of somebody, where that is not the node of the world that they are seen in. */
export function elsewhere(userId: string, serverName: string): string | null {
  const home = serverOf(userId);
  return home === serverName ? null : home;
}

/** The text at the end of a link, or the text itself. */
export function invitationOf(shown: string): string {
  return shown.trim().replace(/\/+$/, "").split("/").pop() ?? "";
}
