// What another node gave somebody, brought to their home, which keeps it.
import { heldCredentials, keep } from "../api/credentials";
import type { Session } from "../api/session";
import { canonical, type Json } from "../identity/canonical";

/** A home keeps no more than this of what somebody was given. */
const MOST_GIVEN = 64;
/** So many are brought after one visit; what is left is given again at the next. */
const MOST_BROUGHT = 8;

/** What the home of whoever has this token holds, as it is written in the one way: asked for once a page. */
let held: { token: string; texts: Promise<Set<string>> } | null = null;

/** Has the home keep what another node gave somebody, behind their visit: whether it does keeps nobody from walking. */
export async function bringHome(given: unknown, session: Session): Promise<void> {
  const all: unknown[] = Array.isArray(given) ? given.slice(0, MOST_GIVEN) : [];
  if (all.length === 0) return;
  try {
    const there = await heldBy(session);
    const fresh = [...written(all)].filter(([text]) => !there.has(text)).slice(0, MOST_BROUGHT);
    for (const [text, credential] of fresh) await bring(text, credential, session, there);
  } catch (error) {
    console.warn("it is not known what the home holds already", error);
  }
}

async function bring(text: string, credential: unknown, session: Session, there: Set<string>): Promise<void> {
  try {
    await keep(credential, session);
    there.add(text);
  } catch (error) {
    console.warn("what another node gave is not kept at home", error);
  }
}

function heldBy(session: Session): Promise<Set<string>> {
  const { token } = session;
  if (held?.token === token) return held.texts;
  const asked = heldCredentials(session).then((all) => new Set(written(all).keys()));
  const mine = { token, texts: asked };
  held = mine;
  asked.catch(() => {
    // The next visit asks once more.
    if (held === mine) held = null;
  });
  return asked;
}

/** Each by how it is written; what cannot be written in that way is no credential. */
function written(all: readonly unknown[]): Map<string, unknown> {
  const texts = new Map<string, unknown>();
  for (const one of all) {
    try {
      texts.set(canonical(one as Json), one);
    } catch (error) {
      console.warn("something that was given is no credential", error);
    }
  }
  return texts;
}
