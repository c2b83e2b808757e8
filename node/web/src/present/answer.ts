// The answer to whoever asks: what it holds, and how it gets to them (OpenID4VP 1.0, section 8).
import type { JsonObject } from "../identity/canonical";
import { addressOf, type ErrorCode, type Way } from "./request";

/** Why an answer that was posted came to nothing. */
export class PostError extends Error {
  override name = "PostError";
}

const POST_MS = 20_000;
const ANSWER_BYTES = 64 * 1024;

/** One presentation under each name by which it was asked for. */
export function shown(ids: readonly string[], presentation: JsonObject, { state }: Way): URLSearchParams {
  const vpToken = Object.fromEntries(ids.map((id) => [id, [presentation]]));
  return withState({ vp_token: JSON.stringify(vpToken) }, state);
}

/** That nothing is shown, and why. */
export function notShown(code: ErrorCode, description: string, { state }: Way): URLSearchParams {
  return withState({ error: code, error_description: description }, state);
}

function withState(members: Record<string, string>, state: string | null): URLSearchParams {
  return new URLSearchParams(state === null ? members : { ...members, state });
}

/**
 * Brings an answer to whoever asked, and gives the address at which its person goes on; null where the asker knows
 * enough and names none.
 */
export async function deliver(answer: URLSearchParams, { address, mode }: Way): Promise<string | null> {
  if (mode === "fragment") return `${address.href}#${answer}`;
  let text: string;
  try {
    const response = await fetch(address, {
      method: "POST",
      body: answer,
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(POST_MS),
    });
    if (response.status !== 200) throw new PostError(`the asker answered with ${response.status}`);
    text = await response.text();
  } catch (error) {
    if (error instanceof PostError) throw error;
    throw new PostError("the asker cannot be reached");
  }
  return goalOf(text);
}

/** Where the asker sends its person on to (section 8.2). */
export function goalOf(text: string): string | null {
  if (text.length > ANSWER_BYTES) throw new PostError("the asker answered with too much");
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    throw new PostError("the asker answered with no JSON");
  }
  if (typeof said !== "object" || said === null) throw new PostError("the asker answered with no object");
  const { redirect_uri: goal } = said as Record<string, unknown>;
  if (goal === undefined) return null;
  // Such an address may hold its secret behind a #.
  const [before = "", ...behind] = typeof goal === "string" ? goal.split("#") : [];
  if (behind.length > 1 || addressOf(before) === null) throw new PostError("the asker leads on to no address of the web");
  return goal as string;
}
