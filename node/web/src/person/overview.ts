// How it stands with an identity, seen from this browser.
import { personOf } from "../identity/document";
import type { Why } from "../identity/errors";
import type { Log } from "../identity/log";
import { devicesOf, homeOf, isHere, type Now } from "./reading";

export interface Device {
  key: string;
  sinceMs: number;
  isThis: boolean;
}

/** Where somebody lives who has moved away. */
export interface Elsewhere {
  account: string;
  /** The address of their node. */
  address: string;
}

export interface Overview {
  /**
   * `none`: there is none here, and `why` says what keeps it from being. `mine`: this browser is one of its devices.
   * `elsewhere`: it is not. `ended`: it has come to its end, or lives on another node. `broken`: what the node says
   * of it cannot be true.
   */
  state: "none" | "mine" | "elsewhere" | "ended" | "broken";
  why: Why | "browser" | "node" | "linked" | "moved" | null;
  did: string | null;
  /** Whether the person has saved what brings it back. */
  portable: boolean;
  devices: readonly Device[];
  /** Whether this browser holds what changes it. */
  canChange: boolean;
  /** Whether the words that bring it back are in this browser still. */
  hasWords: boolean;
  /** Where the person lives now, if they have moved. */
  lives: Elsewhere | null;
}

export const NOTHING = { did: null, portable: false, devices: [], canChange: false, hasWords: false, lives: null } as const;

export function overviewOf({ said, log, secrets, device }: Now, userId: string): Overview {
  const isSaved = said.saved || secrets?.confirmed === true;
  const known = { did: log.did, portable: isSaved && !secrets?.entropy };
  if (log.last.deactivated) return { ...NOTHING, ...known, state: "ended", why: "ended" };
  if (!isHere(log, homeOf(said, userId))) return { ...NOTHING, ...known, state: "ended", why: "moved", lives: livesAt(log) };
  const devices = devicesOf(log).map((one) => ({ ...one, isThis: one.key === device?.multikey }));
  const state = devices.some(({ isThis }) => isThis) ? "mine" : "elsewhere";
  const canChange = state === "mine" && !!secrets?.keys;
  return { ...known, state, why: null, devices, canChange, hasWords: !!secrets?.entropy, lives: null };
}

/** What the person says of it in the last version, which no node could write; null where other software wrote it. */
export function livesAt(log: Log): Elsewhere | null {
  try {
    const { mxid: account, service: address } = personOf(log.last.state);
    return { account, address };
  } catch (error) {
    console.warn("the log does not say where the person lives as a page of Wayside would", error);
    return null;
  }
}
