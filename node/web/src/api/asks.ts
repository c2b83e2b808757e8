// What a world or a node asks of those who come: credentials, of which they hold one.
import { clean, isFields, oneOf } from "./text";

export const AGE_GROUPS = ["under13", "13to15", "16to17", "18plus"] as const;
export type AgeGroup = (typeof AGE_GROUPS)[number];

export const AGE_SOURCES = ["selfDeclared", "inferred", "estimated", "verified"] as const;
/** By what it is known how old somebody is. */
export type AgeSource = (typeof AGE_SOURCES)[number];

export const ROLES = ["guest", "member", "moderator", "operator"] as const;
export type Role = (typeof ROLES)[number];

/** One credential that is asked for; without an issuer it is to be of the node of the world. */
export type Ask =
  | { type: "Badge"; issuer?: string; badge: string; name?: string }
  | { type: "AgeGroup"; issuer?: string; at_least: AgeGroup; sources?: AgeSource[] }
  | { type: "NodeRole"; issuer?: string; at_least: Role }
  | { type: "HomeMembership"; issuer: string };

/** The same with the host of its issuer, for people. */
export type NamedAsk = Ask & { issuer_name: string };

/** No world asks for more, and no home is asked for more at once. */
export const MOST_ASKS = 16;
const NAME_LETTERS = 80;
const HOST_LETTERS = 255;
const ID_LETTERS = 64;
const DID_LETTERS = 2_048;

/** Reads what a node says that is asked for; what is of no known kind is left out. */
export function readAsks(said: unknown): NamedAsk[] {
  if (!Array.isArray(said)) return [];
  return said
    .slice(0, MOST_ASKS)
    .map(readAsk)
    .filter((one) => one !== null);
}

function readAsk(said: unknown): NamedAsk | null {
  if (!isFields(said)) return null;
  const issuer = text(said.issuer, DID_LETTERS);
  const by = { ...(issuer === null ? {} : { issuer }), issuer_name: clean(said.issuer_name, HOST_LETTERS) };
  switch (said.type) {
    case "Badge": {
      const badge = text(said.badge, ID_LETTERS);
      // It is called something that can be seen, also where it has no name.
      const name = clean(said.name, NAME_LETTERS) || clean(badge, NAME_LETTERS);
      return badge === null ? null : { type: "Badge", ...by, badge, name };
    }
    case "AgeGroup": {
      const atLeast = oneOf(AGE_GROUPS, said.at_least);
      return atLeast && { type: "AgeGroup", ...by, at_least: atLeast, ...sourcesOf(said.sources) };
    }
    case "NodeRole": {
      const atLeast = oneOf(ROLES, said.at_least);
      return atLeast && { type: "NodeRole", ...by, at_least: atLeast };
    }
    case "HomeMembership":
      return issuer === null ? null : { type: "HomeMembership", issuer, issuer_name: by.issuer_name };
    default:
      return null;
  }
}

function sourcesOf(said: unknown): { sources?: AgeSource[] } {
  return Array.isArray(said) ? { sources: AGE_SOURCES.filter((one) => said.includes(one)) } : {};
}

function text(said: unknown, letters: number): string | null {
  return typeof said === "string" && said !== "" && said.length <= letters ? said : null;
}
