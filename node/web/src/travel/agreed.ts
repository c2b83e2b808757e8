// What somebody has agreed to show to which node, and the nodes to which they go without showing more.
import { Marks } from "../marks";

/** The oldest are forgotten: they are asked about once more. */
const MOST = 200;
const marks = new Marks("wayside.agreed_to_show", MOST);

/** What was agreed to on this page, which counts where the browser keeps nothing. */
const agreed = new Set<string>();
/** Going without is not kept: whoever opens the page anew may think otherwise. */
const refused = new Set<string>();

const entry = (serverName: string, fingerprint: string): string => `${serverName} ${fingerprint}`;

/** Whether somebody shows a node what has this fingerprint. */
export function isAgreed(serverName: string, fingerprint: string): boolean {
  const one = entry(serverName, fingerprint);
  return agreed.has(one) || marks.has(one);
}

export function agree(serverName: string, fingerprint: string): void {
  const one = entry(serverName, fingerprint);
  // The oldest is the first.
  if (agreed.size >= MOST) agreed.delete([...agreed][0] ?? one);
  agreed.add(one);
  marks.add(one);
}

/** Whether somebody has said on this page that they go to a node without. */
export const isRefused = (serverName: string): boolean => refused.has(serverName);

export const refuse = (serverName: string): void => void refused.add(serverName);

/** Whoever signs out leaves no trace of what they have shown to whom. */
export function forgetAgreed(): void {
  agreed.clear();
  refused.clear();
  marks.forget();
}
