// The accounts elsewhere by which somebody is known here.
import { leaveTo } from "../sign-in/away";
import { ask, FAR_MS } from "./http";
import type { Session } from "./session";

export interface Link {
  id: string;
  /** The provider by the node's names for it, where the node still knows it. */
  provider: string | null;
  name: string | null;
  issuer: string;
  /** What the identity is called that is meant, or what stays of that wherever it moves, where `provider` is "did". */
  did?: string;
  linked_ms: number;
}

const PATH = "/_wayside/v1/links";

export async function links(session: Session): Promise<Link[]> {
  return (await ask<{ links: Link[] }>("GET", PATH, { token: session.token })).links;
}

/** Goes to a provider that is to vouch for whoever proves that the account is theirs. */
export function addLink(session: Session, provider: string, browser: string, auth: object): Promise<void> {
  const body = { provider, browser, ...auth };
  return leaveTo(browser, new URL(location.href), () =>
    ask<{ location: string }>("POST", PATH, { body, token: session.token }),
  );
}

/** Goes to the home of an identity that is to open the account from then on. */
export function addIdentity(session: Session, home: string, browser: string, auth: object): Promise<void> {
  const body = { provider: "did", home, browser, ...auth };
  const begin = (): Promise<{ location: string }> =>
    ask("POST", PATH, { body, token: session.token, timeoutMs: FAR_MS });
  return leaveTo(browser, new URL(location.href), begin, true);
}

export async function removeLink(session: Session, id: string, auth: object): Promise<void> {
  await ask("DELETE", `${PATH}/${encodeURIComponent(id)}`, { body: auth, token: session.token });
}
