// What somebody has agreed to show to which node, and the nodes to which they go without showing more.

const KEY = "wayside.agreed_to_show";
/** The oldest are forgotten: they are asked about once more. */
const MOST = 200;

/** What was agreed to on this page, which counts where the browser keeps nothing. */
let agreed: readonly string[] = [];
/** Going without is not kept: whoever opens the page anew may think otherwise. */
let refused: readonly string[] = [];

function kept(): string[] {
  try {
    const all: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(all) ? all.filter((one) => typeof one === "string").slice(-MOST) : [];
  } catch {
    return [];
  }
}

const newest = (all: readonly string[], one: string): string[] => [...all.filter((other) => other !== one), one].slice(-MOST);
const entry = (serverName: string, fingerprint: string): string => `${serverName} ${fingerprint}`;

/** Whether somebody shows a node what has this fingerprint. */
export function isAgreed(serverName: string, fingerprint: string): boolean {
  const one = entry(serverName, fingerprint);
  return agreed.includes(one) || kept().includes(one);
}

export function agree(serverName: string, fingerprint: string): void {
  const one = entry(serverName, fingerprint);
  agreed = newest(agreed, one);
  try {
    localStorage.setItem(KEY, JSON.stringify(newest(kept(), one)));
  } catch {
    // Then they are asked again on the next page.
  }
}

/** Whether somebody has said on this page that they go to a node without. */
export const isRefused = (serverName: string): boolean => refused.includes(serverName);

export function refuse(serverName: string): void {
  refused = newest(refused, serverName);
}

/** Whoever signs out leaves no trace of what they have shown to whom. */
export function forgetAgreed(): void {
  agreed = [];
  refused = [];
  localStorage.removeItem(KEY);
}
