// Moments as documents and proofs write them: RFC 3339, in UTC.

const WRITTEN = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?(?:Z|[+-]00:00)$/;

/** Writes a moment, given in milliseconds since 1970, with parts of a second only where it has some. */
export function writeTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.?0*Z$/, "Z");
}

/** The moment that a text says, in milliseconds since 1970, or null where it says none in UTC. */
export function readTime(text: string): number | null {
  const seconds = WRITTEN.exec(text)?.[1];
  const ms = Date.parse(text);
  if (seconds === undefined || Number.isNaN(ms)) return null;
  // Some take the 30th of February for a day of March.
  return new Date(ms).toISOString().startsWith(seconds) ? ms : null;
}
