// The bodies of a person: which is worn, which there are, and how a new one is brought.
import { ask, upload } from "./http";
import type { Issue } from "./node";
import type { Session } from "./session";

export interface Worn {
  kind: "generated" | "uploaded";
  url: string;
  sha256?: string;
  seed?: string;
}

export interface Report {
  accepted: boolean;
  rank: string;
  counts: Record<string, number>;
  licence: Record<string, unknown> | null;
  issues: Issue[];
}

export interface Uploaded {
  sha256: string;
  url: string;
  name: string;
  bytes: number;
  rank: string;
  report: Report;
  /** Whether there is a licence by which other nodes show it. */
  licensed?: boolean;
}

export interface Wardrobe {
  worn: Worn;
  generated: { url: string; seed: string; variant: number };
  /** The bodies that were made for this person, by their variants. */
  looks: string[];
  uploads: Uploaded[];
}

const PATH = "/_wayside/v1/avatar";

export const wardrobe = (session: Session): Promise<Wardrobe> =>
  ask("GET", PATH, { token: session.token });

export const wearVariant = (variant: number, session: Session): Promise<object> =>
  ask("PUT", PATH, { body: { variant }, token: session.token });

export const wearUpload = (sha256: string, session: Session): Promise<object> =>
  ask("PUT", PATH, { body: { sha256 }, token: session.token });

export const removeUpload = (sha256: string, session: Session): Promise<object> =>
  ask("DELETE", `/_wayside/v1/avatars/${sha256}`, { token: session.token });

/** Keeps the licence that the author of a body has signed, or none. */
export const setLicence = (sha256: string, credential: unknown, session: Session): Promise<object> =>
  ask("PUT", `/_wayside/v1/avatars/${sha256}/licence`, { body: { credential }, token: session.token });

export function uploadAvatar(
  file: File,
  session: Session,
  progress: (sent: number, total: number) => void,
): Promise<{ sha256: string; url: string; rank: string; report: Report }> {
  const path = `/_wayside/v1/avatars?name=${encodeURIComponent(file.name)}`;
  return upload(path, file, session.token, progress);
}
