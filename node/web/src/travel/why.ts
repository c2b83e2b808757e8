// Why a door on another node does not open, in words that say what helps.
import { ApiError } from "../api/http";
import { isKey, t } from "../i18n";
import type { Why } from "../ui/closed";
import { sentence, words } from "../ui/errors";
import { type Untold, UntoldError } from "./host";

/** What the page of somebody's account puts right. */
const BY_ACCOUNT: readonly Untold[] = ["guest", "no_identity", "no_key", "unproven"];

/** Why somebody does not come in, by what went wrong; null is that there is no such world for them. */
export function whyNot(error: unknown, node: string, home: string): Why {
  const simply = (about: string): Why => ({ about, toAccount: false, isPrivate: false });
  if (error === null) return { ...simply(t("travel.not_there", { node })), isPrivate: true };
  if (error instanceof UntoldError) {
    return { ...simply(t(`travel.${error.why}`, { node, home })), toAccount: BY_ACCOUNT.includes(error.why) };
  }
  if (!(error instanceof ApiError)) return simply(words(error));
  return simply(refusal(error, node) ?? words(error));
}

/** What another node, or one's own on the way there, has refused. */
export function refusal(error: ApiError, node: string): string | null {
  const { status, body, message } = error;
  const reason = `travel.${String(body["org.wayside.reason"])}`;
  if (isKey(reason)) return t(reason, { node, name: String(body["org.wayside.name"] ?? "") });
  if (status === 0 || status === 502 || status === 504) return t("travel.silent", { node });
  if (status === 404) return t("travel.unknown", { node });
  if (status === 403) return t("travel.refused", { node, text: sentence(message) });
  return null;
}
