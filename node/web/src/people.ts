// What is shown of a person before anything is known of them but their id.

/** The same colour for the same person everywhere, between 0 and 1. */
export function hue(userId: string): number {
  let sum = 2166136261;
  for (const letter of userId) sum = Math.imul(sum ^ (letter.codePointAt(0) ?? 0), 16777619);
  return ((sum >>> 8) % 360) / 360;
}
