// What a browser keeps for a page, for tests.

export interface Kept extends Pick<Storage, "getItem" | "setItem" | "removeItem"> {
  all: Map<string, string>;
}

export function storage(): Kept {
  const all = new Map<string, string>();
  return { all, getItem: (key) => all.get(key) ?? null, setItem: (key, value) => void all.set(key, value), removeItem: (key) => void all.delete(key) };
}
