// Puts what was refused about a person into words that say what can be done about it.
import { ApiError } from "../../api/http";
import { serverOf } from "../../api/session";
import { t } from "../../i18n";
import { sentence, words } from "../errors";

export function friendWords(error: unknown, userId: string): string {
  if (!(error instanceof ApiError)) return words(error);
  const { code, status, message } = error;
  if (status === 502 || status === 504) return t("friends.error.silent", { node: serverOf(userId) });
  if (code === "M_NOT_FOUND") return t("friends.error.nobody", { user: userId });
  if (code === "M_TOO_LARGE") return t("friends.error.long");
  if (code === "M_INVALID_PARAM") return t("friends.error.address");
  if (code === "M_FORBIDDEN") return t("friends.error.refused", { text: sentence(message) });
  return words(error);
}
