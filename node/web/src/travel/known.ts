// The nodes to which somebody has gone from here, knowing that these learn who they are.

const KEY = "wayside.walked_to";
/** The oldest are forgotten: they are asked about once more. */
const MOST = 200;

function all(): string[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((one) => typeof one === "string").slice(-MOST) : [];
  } catch {
    return [];
  }
}

export const isKnown = (serverName: string): boolean => all().includes(serverName);

export function know(serverName: string): void {
  const kept = [...all().filter((one) => one !== serverName), serverName].slice(-MOST);
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // Then they are asked again the next time.
  }
}

/** Whoever signs out leaves no trace of where they were. */
export function forgetKnown(): void {
  localStorage.removeItem(KEY);
}
