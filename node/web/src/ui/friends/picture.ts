// How somebody is shown in a list: by their picture where they have one, by a letter in a colour of theirs otherwise.
import type { Session } from "../../api/session";
import { hue } from "../../people";
import { h } from "../dom";

interface Shown {
  userId: string;
  name: string;
  avatar: string | null;
}

const TYPES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"];
const MOST_BYTES = 1_000_000;
const PIXELS = 96;
const PATIENCE_MS = 20_000;
/** More than so many are not kept. */
const MOST = 300;
/** So many are fetched at a time: what is asked for otherwise goes first. */
const AT_ONCE = 3;

const kept = new Map<string, Promise<string | null>>();
const ways = Array.from({ length: AT_ONCE }, () => Promise.resolve());
let turn = 0;

/** The letter, over which the picture comes as soon as it is there. */
export function personMark({ userId, name, avatar }: Shown, session: Session): HTMLElement {
  const mark = h("span", { class: "mark", text: [...name][0]?.toUpperCase() ?? "?", attrs: { "aria-hidden": "true" } });
  mark.style.setProperty("--hue", `${Math.round(hue(userId) * 360)}`);
  if (avatar === null) return mark;
  void pictureOf(avatar, session).then((url) => {
    if (url !== null) mark.append(h("img", { attrs: { src: url, alt: "" } }));
  });
  return mark;
}

function pictureOf(address: string, session: Session): Promise<string | null> {
  const known = kept.get(address);
  if (known) return known;
  turn = (turn + 1) % AT_ONCE;
  const before = ways[turn] ?? Promise.resolve();
  const found = before.then(() => fetched(address, session));
  ways[turn] = found.then(() => {});
  kept.set(address, found);
  if (kept.size > MOST) forgetOldest();
  return found;
}

function forgetOldest(): void {
  const [oldest] = kept;
  if (!oldest) return;
  const [address, url] = oldest;
  kept.delete(address);
  void url.then((it) => it !== null && URL.revokeObjectURL(it));
}

/** Null where there is none that could be shown: the letter says who it is all the same. */
async function fetched(address: string, { token }: Session): Promise<string | null> {
  const path = address.slice("mxc://".length).split("/").map(encodeURIComponent).join("/");
  const asked = new URLSearchParams({ width: `${PIXELS}`, height: `${PIXELS}`, method: "crop" });
  try {
    const headers = { Authorization: `Bearer ${token}` };
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const answer = await fetch(`/_matrix/client/v1/media/thumbnail/${path}?${asked}`, { headers, signal });
    if (!answer.ok) return null;
    const blob = await answer.blob();
    return TYPES.includes(blob.type) && blob.size <= MOST_BYTES ? URL.createObjectURL(blob) : null;
  } catch {
    return null;
  }
}
