// Every text that is shown, in the person's language; a language is one file beside this one.
import { settings } from "../settings";
import type account from "./account.en.json";
import type badges from "./badges.en.json";
import type bodies from "./bodies.en.json";
import en from "./en.json";
import type friends from "./friends.en.json";
import type identity from "./identity.en.json";
import type members from "./members.en.json";
import type passkeys from "./passkeys.en.json";
import type portals from "./portals.en.json";
import type present from "./present.en.json";
import type signIn from "./sign-in.en.json";
import type travel from "./travel.en.json";

export type Key = (keyof typeof en | keyof typeof account | keyof typeof badges | keyof typeof bodies | keyof typeof friends | keyof typeof identity | keyof typeof members | keyof typeof passkeys | keyof typeof portals | keyof typeof present | keyof typeof signIn | keyof typeof travel) & string;
type Texts = Partial<Record<Key, string>>;

/** Each by its own name; all but English are fetched when they are wanted. */
export const LANGUAGES: Record<string, string> = { en: "English", de: "Deutsch" };
const FILES: Record<string, () => Promise<{ default: Texts }>> = {
  de: () => import("./de.json"),
};

/** What not everybody reads, and nobody else fetches: of accounts, of badges, what bodies may be seen, friends, who one is, conversations and keys, passkeys, portals, showing who one is, letting programs in, and going to other nodes. */
const MORE = {
  account: {
    en: () => import("./account.en.json"),
    de: () => import("./account.de.json"),
  },
  badges: {
    en: () => import("./badges.en.json"),
    de: () => import("./badges.de.json"),
  },
  bodies: {
    en: () => import("./bodies.en.json"),
    de: () => import("./bodies.de.json"),
  },
  friends: {
    en: () => import("./friends.en.json"),
    de: () => import("./friends.de.json"),
  },
  identity: {
    en: () => import("./identity.en.json"),
    de: () => import("./identity.de.json"),
  },
  members: {
    en: () => import("./members.en.json"),
    de: () => import("./members.de.json"),
  },
  passkeys: {
    en: () => import("./passkeys.en.json"),
    de: () => import("./passkeys.de.json"),
  },
  portals: {
    en: () => import("./portals.en.json"),
    de: () => import("./portals.de.json"),
  },
  present: {
    en: () => import("./present.en.json"),
    de: () => import("./present.de.json"),
  },
  "sign-in": {
    en: () => import("./sign-in.en.json"),
    de: () => import("./sign-in.de.json"),
  },
  travel: {
    en: () => import("./travel.en.json"),
    de: () => import("./travel.de.json"),
  },
} satisfies Record<string, Record<string, () => Promise<{ default: Texts }>>>;

let texts: Texts = en;
let language = "en";
const wantedMore = new Set<keyof typeof MORE>();

/** Loads what the settings or else the browser ask for. */
export async function loadTexts(): Promise<void> {
  const wanted = [settings().language, ...navigator.languages];
  const found = wanted.map((tag) => tag?.split("-")[0] ?? "").find((tag) => tag in LANGUAGES);
  language = found ?? "en";
  const file = FILES[language];
  try {
    texts = file ? (await file()).default : en;
  } catch {
    // Words in another language are better than none.
    [texts, language] = [en, "en"];
  }
  document.documentElement.lang = language;
  for (const more of wantedMore) await loadMore(more);
}

/** Loads what some read beside the rest. */
export async function loadMore(more: keyof typeof MORE): Promise<void> {
  const files: Record<string, () => Promise<{ default: Texts }>> = MORE[more];
  const file = files[language];
  if (file) {
    const read = (await file()).default;
    // Others may have come in the meantime.
    texts = { ...texts, ...read };
  }
  wantedMore.add(more);
}

export function currentLanguage(): string {
  return language;
}

/** The language as the person's region writes it, for times and numbers. */
export function locale(): string {
  return navigator.languages.find((tag) => tag.split("-")[0] === language) ?? language;
}

/** The text of a key, with `{name}` replaced by what is given under that name. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return (texts[key] ?? "").replace(/\{(\w+)\}/g, (whole, name: string) => `${values[name] ?? whole}`);
}

/** How many people are there, in words. */
export function count(key: "people", number: number): string {
  return t(number === 1 ? `${key}.one` : `${key}.many`, { count: number });
}

export function isKey(key: string): key is Key {
  return key in texts;
}

export function megabytes(bytes: number): string {
  const format = new Intl.NumberFormat(locale(), { maximumFractionDigits: 1 });
  return format.format(bytes / 1e6);
}

/** Of several things one, as the language joins them. */
export function oneOfParts(things: readonly string[]): { type: "element" | "literal"; value: string }[] {
  return new Intl.ListFormat(language, { type: "disjunction" }).formatToParts(things);
}

/** Names one after the other, as the language joins them. */
export function list(names: readonly string[]): string {
  return new Intl.ListFormat(language, { type: "conjunction" }).format(names);
}
