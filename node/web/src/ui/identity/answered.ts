// The badges about which somebody has said whether everybody is to see them: nobody is asked twice.

const KEY = "wayside.badges_answered";
/** As many as a home keeps; the oldest are asked about once more. */
const MOST = 64;

function all(): string[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((one) => typeof one === "string").slice(-MOST) : [];
  } catch {
    return [];
  }
}

export const isAnswered = (id: string): boolean => all().includes(id);

export function answered(id: string): void {
  const kept = [...all().filter((one) => one !== id), id].slice(-MOST);
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // Then it is offered again the next time.
  }
}

/** Whoever signs out leaves no trace of what they were given. */
export function forgetAnswered(): void {
  localStorage.removeItem(KEY);
}
