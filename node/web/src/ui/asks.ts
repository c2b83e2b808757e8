// What a world asks for, in words: one of these is enough to come in.
import type { NamedAsk } from "../api/asks";
import { type Key, oneOfParts, t } from "../i18n";
import { h } from "./dom";

/** A part of a sentence: words of the page, or a name that others gave. */
interface Piece {
  text: string;
  isGiven: boolean;
}

/** All of it as one text. */
export const asksWords = (asks: readonly NamedAsk[]): string =>
  pieces(asks)
    .map(({ text }) => text)
    .join("");

/** The same for the page, where no name changes the order of the words around it; null where nothing is asked for. */
export function asksLine(asks: readonly NamedAsk[]): HTMLElement | null {
  if (asks.length === 0) return null;
  const parts = pieces(asks).map(({ text, isGiven }) => (isGiven ? h("bdi", { text }) : text));
  return h("span", { class: "asks" }, ...parts);
}

function pieces(asks: readonly NamedAsk[]): Piece[] {
  const areBadges = asks.every(({ type }) => type === "Badge");
  // The list is joined by places, into which the words of each come.
  const places = oneOfParts(asks.map((_, place) => String(place)));
  const what = places.flatMap(({ type, value }): Piece[] => {
    const one = type === "element" ? asks[Number(value)] : undefined;
    return one ? filled(keyOf(one, areBadges), valuesOf(one)) : [{ text: value, isGiven: false }];
  });
  return filled(areBadges ? "asks.for_badges" : "asks.for", {}).flatMap((piece) => (piece.text === "{what}" ? what : [piece]));
}

/** The words of a text, with what is given into its gaps; a gap for which nothing is given stays. */
function filled(key: Key, values: Record<string, string>): Piece[] {
  const parts = t(key).split(/(\{\w+\})/);
  return parts.filter((text) => text !== "").map((text) => {
    const given = text.startsWith("{") ? values[text.slice(1, -1)] : undefined;
    return { text: given ?? text, isGiven: given !== undefined };
  });
}

function keyOf(one: NamedAsk, areBadges: boolean): Key {
  switch (one.type) {
    case "Badge":
      return areBadges ? "asks.badge" : "asks.badge_too";
    case "AgeGroup":
      return `asks.age.${one.at_least}`;
    case "NodeRole":
      return `asks.role.${one.at_least}`;
    case "HomeMembership":
      return "asks.home";
  }
}

function valuesOf(one: NamedAsk): Record<string, string> {
  const issuer = one.issuer_name || t("asks.this_node");
  return one.type === "Badge" ? { issuer, name: one.name ?? one.badge } : { issuer };
}
