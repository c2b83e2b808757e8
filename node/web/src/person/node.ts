// What the node knows of somebody's identity, and what it keeps of their vault.
import { ApiError, ask } from "../api/http";
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
}

/** A node as this room asks it. */
export interface PersonNode {
  look(): Promise<Said>;
  /** Publishes versions, a line each. */
  write(lines: string): Promise<Said>;
  noteSaved(): Promise<void>;
  /** The vault as it was written, or null where there is none. */
  vault(): Promise<string | null>;
  keepVault(text: string | null): Promise<void>;
  /** The ids of the passkeys by which the person signs in, in base64url. */
  credentials(): Promise<string[]>;
}

const IDENTITY = "/_wayside/v1/identity";

export function nodeOf({ userId, token }: Session): PersonNode {
  const vaultPath = `/_matrix/client/v3/user/${encodeURIComponent(userId)}/account_data/org.wayside.vault`;
  return {
    look: () => ask("GET", IDENTITY, { token }),
    write: (log) => ask("POST", IDENTITY, { body: { log }, token }),
    noteSaved: async () => {
      await ask("POST", `${IDENTITY}/saved`, { body: {}, token });
    },
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
