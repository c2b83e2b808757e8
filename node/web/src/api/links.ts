// The accounts elsewhere by which somebody is known here.
import { leaveTo } from "../sign-in/away";
import { ask } from "./http";
import type { Session } from "./session";

export interface Link {
  id: string;
  /** The provider by the node's names for it, where the node still knows it. */
  provider: string | null;
  name: string | null;
  issuer: string;
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

export async function removeLink(session: Session, id: string, auth: object): Promise<void> {
  await ask("DELETE", `${PATH}/${encodeURIComponent(id)}`, { body: auth, token: session.token });
}
