// Puts what went wrong with an identity into words that say what can be done about it.
import { IdentityError } from "../../identity/errors";
import { t } from "../../i18n";
import { passkeyWords } from "../passkey";

export function identityWords(error: unknown): string {
  if (!(error instanceof IdentityError)) return passkeyWords(error);
  const { why, about } = error;
  if (why === "word_count" && !/^\d+$/.test(about ?? "")) return t("identity.why.words_many");
  return t(`identity.why.${why}`, { about: about ?? "" });
}
