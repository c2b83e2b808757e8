// How it goes with other servers, for those who run the node.
import { ask } from "./http";
import type { Session } from "./session";

/** How it goes with one of them; times are milliseconds since the epoch. */
export interface Standing {
  server: string;
  reached_ms: number | null;
  failures: number;
  failing_ms: number | null;
  retry_ms: number | null;
  waiting_events: number;
  /** Rooms of which it gets only what is newest. */
  waiting_rooms: number;
  waiting_edus: number;
  why: string | null;
}

export interface Standings {
  servers: Standing[];
  next: string | null;
  failing: number;
  waiting_events: number;
  waiting_rooms: number;
  waiting_edus: number;
}

/** Whether somebody runs the node. */
export async function runsNode({ token }: Session): Promise<boolean> {
  return (await ask<{ role: string }>("GET", "/_wayside/v1/account", { token })).role === "operator";
}

/** The servers that were called or are to be, those first that fail or refuse, behind the `next` of a page. */
export async function standings({ token }: Session, behind: string): Promise<Standings> {
  const query = behind === "" ? "" : `?from=${encodeURIComponent(behind)}`;
  return ask<Standings>("GET", `/_wayside/v1/servers${query}`, { token });
}

/** Has a server tried at once that is left alone for a while. */
export async function tryNow({ token }: Session, server: string): Promise<void> {
  await ask("POST", `/_wayside/v1/servers/${encodeURIComponent(server)}/try`, { token });
}
