// What a person has set for themselves, kept in this browser.

export type Quality = "auto" | "low" | "medium" | "high";
export type Names = "always" | "near" | "never";
export type TextSize = "small" | "normal" | "large" | "huge";

export interface Settings {
  quality: Quality;
  names: Names;
  textSize: TextSize;
  /** A language that there is a file of, or null for the browser's. */
  language: string | null;
  firstPerson: boolean;
}

const KEY = "wayside.settings";
const DEFAULTS: Settings = {
  quality: "auto",
  names: "always",
  textSize: "normal",
  language: null,
  firstPerson: false,
};

type Listener = (settings: Settings) => void;

let current: Settings = load();
const listeners = new Set<Listener>();

function load(): Settings {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Settings>;
    return { ...DEFAULTS, ...kept };
  } catch {
    return { ...DEFAULTS };
  }
}

export function settings(): Settings {
  return current;
}

export function change(part: Partial<Settings>): void {
  current = { ...current, ...part };
  try {
    localStorage.setItem(KEY, JSON.stringify(current));
  } catch {
    // Then it holds for as long as the page is open.
  }
  for (const listener of listeners) listener(current);
}

/** Tells of every change until the returned function is called. */
export function onChange(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** By how much text grows. */
export function textScale(size: TextSize): number {
  return { small: 0.88, normal: 1, large: 1.25, huge: 1.6 }[size];
}
