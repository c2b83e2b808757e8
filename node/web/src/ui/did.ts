// DIDs as people see them: enough to tell one from another, without letters by the dozen.

const WHOLE_LETTERS = 28;

/** The beginning and the end of what proves itself in a DID, which stays the same wherever its person moves. */
export function shortDid(did: string): string {
  const [scheme = "", method = "", id = ""] = did.split(":");
  const own = method === "webvh" ? `${scheme}:${method}:${id}` : did;
  return own.length > WHOLE_LETTERS ? `${own.slice(0, 16)}…${own.slice(-4)}` : own;
}
