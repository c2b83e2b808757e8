// What the node knows of somebody's identity, and what it keeps of their vault.
import { ApiError, ask, FAR_MS } from "../api/http";
import type { Session } from "../api/session";

/** What the node says of the DID of whoever asks (specs/api.md, "DIDs"). */
export interface Said {
  did: string | null;
  log: string | null;
  /** Whether the person has said that they saved what recovers it. */
  saved: boolean;
  /** Null where this node has no DIDs, or none for a name like theirs. */
  host: string | null;
  path: readonly string[] | null;
  service: string | null;
  /** The DID of elsewhere by which the person comes in here, if they do. */
  linked: string | null;
  node_key: string;
  /** By what the node seals the luggage that it gives to the nodes of friends; nodes of before know of none. */
  seal_key?: string | null;
  /** The servers that hold copies of the log and of the luggage. */
  copies?: readonly string[];
}

/** Whom the node is to look for, and where. */
export interface Wanted {
  /** The DID, or else the account at the home of before. */
  did?: string;
  account?: string;
  /** What the words open, so that whoever keeps a copy gives it. */
  seal_key?: string;
  /** Servers, and accounts of friends. */
  at: readonly string[];
}

/** What the node says of somebody whom it looked for: as it came, and not judged yet. */
export interface Sought {
  log: unknown;
  sealed: unknown;
  asked: unknown;
}

/** What the node says of luggage that it has unpacked. */
export interface UnpackedSaid {
  friends?: unknown;
  blocked?: unknown;
  credentials?: unknown;
  failed?: unknown;
}

/** A node as this room asks it. */
export interface PersonNode {
  look(): Promise<Said>;
  /** Publishes versions, a line each. */
  write(lines: string): Promise<Said>;
  /** Notes that the person has saved their words, and by what luggage is sealed for them from now on. */
  noteSaved(sealKey: string | null): Promise<void>;
  /** Asks the home of before and others for the log and the luggage of somebody. */
  search(wanted: Wanted): Promise<Sought>;
  /** Puts an identity of elsewhere in the place of the one that the account has. */
  moveIn(log: string): Promise<Said>;
  /** Takes over what somebody brought along, as JSON. */
  unpack(luggage: string): Promise<UnpackedSaid>;
  /** The vault as it was written, or null where there is none. */
  vault(): Promise<string | null>;
  keepVault(text: string | null): Promise<void>;
  /** The ids of the passkeys by which the person signs in, in base64url. */
  credentials(): Promise<string[]>;
}

const IDENTITY = "/_wayside/v1/identity";
/** For many nodes to be asked, or many friends, one after the other. */
const MANY_MS = 2 * FAR_MS;

export function nodeOf({ userId, token }: Session): PersonNode {
  const vaultPath = `/_matrix/client/v3/user/${encodeURIComponent(userId)}/account_data/org.wayside.vault`;
  return {
    look: () => ask("GET", IDENTITY, { token }),
    write: (log) => ask("POST", IDENTITY, { body: { log }, token }),
    noteSaved: async (key) => {
      await ask("POST", `${IDENTITY}/saved`, { body: key === null ? {} : { seal_key: key }, token });
    },
    search: (wanted) => ask("POST", `${IDENTITY}/search`, { body: wanted, token, timeoutMs: MANY_MS }),
    moveIn: (log) => ask("PUT", `${IDENTITY}/moved`, { body: { log }, token, timeoutMs: MANY_MS }),
    unpack: (luggage) => ask("POST", `${IDENTITY}/luggage`, { body: JSON.parse(luggage), token, timeoutMs: MANY_MS }),
    vault: async () => {
      const content = await orNull(ask<object>("GET", vaultPath, { token }));
      // Account data cannot be taken away: an empty object says that there is nothing.
      return content === null || Object.keys(content).length === 0 ? null : JSON.stringify(content);
    },
    keepVault: async (text) => {
      await ask("PUT", vaultPath, { body: text === null ? {} : JSON.parse(text), token });
    },
    credentials: async () => {
      // A ceremony that is begun and not answered does nothing, and names them all.
      const begun = ask<{ options: { allowCredentials: { id: string }[] } }>("POST", "/_wayside/v1/passkeys/confirm", { body: {}, token });
      return (await orNull(begun))?.options.allowCredentials.map(({ id }) => id) ?? [];
    },
  };
}

/** What is not there is null; every other trouble is one. */
async function orNull<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}
