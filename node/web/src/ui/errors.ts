// Puts what went wrong into words that say what can be done about it.
import { ApiError } from "../api/http";
import { isKey, t } from "../i18n";

/** What the reasons of BYE mean to a person, and what helps. */
export function byeWords(reason: number | null): string {
  const key = `bye.${reason}`;
  return isKey(key) ? t(key) : t("bye.lost");
}

export function words(error: unknown): string {
  if (!(error instanceof ApiError)) return t("error.unknown");
  const known: Record<string, string> = {
    M_WAYSIDE_UNREACHABLE: t("error.unreachable"),
    M_LIMIT_EXCEEDED: t("error.often", { seconds: Math.ceil((error.retryAfterMs ?? 5000) / 1000) }),
    M_UNKNOWN_TOKEN: t("error.session"),
    M_USER_IN_USE: t("error.name_taken"),
    M_INVALID_USERNAME: t("error.name_letters"),
    M_WEAK_PASSWORD: t("error.password_weak"),
    M_NOT_FOUND: t("error.not_found"),
    M_TOO_LARGE: t("error.too_large"),
    M_GUEST_ACCESS_FORBIDDEN: t("error.guests"),
  };
  const text = unproven(error) ?? known[error.code];
  if (text) return text;
  if (error.status >= 500) return t("error.node", { text: error.message });
  return sentence(error.message);
}

/** Why somebody was not taken for who they say, which the node tells pages beside its own words. */
function unproven({ body }: ApiError): string | null {
  const key = `unproven.${String(body["org.wayside.reason"])}`;
  return isKey(key) ? t(key, { name: String(body["org.wayside.name"] ?? "") }) : null;
}

/** The node's own words begin small and end without a full stop. */
export function sentence(text: string): string {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
