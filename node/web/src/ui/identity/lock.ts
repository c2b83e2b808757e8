// Locking what changes an identity, so that other devices of the person can open it: by a passphrase or a passkey.
import { stopWaiting } from "../../api/passkeys";
import type { Session } from "../../api/session";
import { fromBase64url } from "../../identity/bytes";
import { askPasskey } from "../../identity/prf";
import { freshPasskeyLock, passkeyLocks } from "../../identity/vault";
import { t } from "../../i18n";
import type { OwnIdentity } from "../../person";
import { field, h } from "../dom";
import { icon } from "../icons";
import { attempt, form, lead, quiet, steps, type Steps, tell } from "./steps";

export function lockDialog(own: OwnIdentity, session: Session, closed: () => void): void {
  lockStep(steps(closed), own, session, null);
}

/** The last step of others, or the only one; `said` is what came before it. */
export function lockStep(dialog: Steps, own: OwnIdentity, session: Session, said: string | null): void {
  const secret = { type: "password", autocomplete: "new-password", minlength: 12, maxlength: 1_024, required: true };
  const passphrase = field(t("identity.passphrase"), { ...secret, name: "passphrase" }, t("identity.passphrase_hint"));
  const again = field(t("identity.passphrase_again"), { ...secret, name: "passphrase-again" });
  // For the browser's own list of passwords, in which it must not take the place of that of the account.
  const user = h("input", { attrs: { autocomplete: "username", value: `${session.userId} (${t("identity.title")})`, hidden: true } });
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const deed = async (): Promise<void> => {
    if (passphrase.input.value !== again.input.value) {
      tell(wrong, t("identity.passphrase_differs"));
      again.input.select();
      return;
    }
    await own.addLock({ kind: "passphrase", passphrase: passphrase.input.value });
    dialog.done(t("identity.passphrase_done"));
  };
  const rows = [
    ...(said === null ? [] : [h("p", { class: "identity-said", text: said, attrs: { role: "status" } })]),
    lead(t("identity.lock_lead")),
    user,
    passphrase.row,
    again.row,
    wrong,
  ];
  const away = said === null ? [] : [quiet(t("identity.not_now"), () => dialog.done(said))];
  dialog.show(t("identity.lock_title"), form(rows, t("identity.passphrase_set"), deed, [...byPasskey(dialog, own), ...away]));
}

function byPasskey(dialog: Steps, own: OwnIdentity): Node[] {
  if (!("PublicKeyCredential" in window)) return [];
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const use = h("button", { class: "secondary", attrs: { type: "button" } }, icon("key"), t("identity.passkey_use"));
  const deed = async (): Promise<void> => {
    const [all, locks] = await Promise.all([own.credentials(), own.locks()]);
    const known = new Set(passkeyLocks(locks).map(({ credential }) => credential));
    const free = all.filter((id) => !known.has(id)).flatMap((id) => fromBase64url(id) ?? []);
    if (free.length === 0) {
      tell(wrong, t("identity.passkey_none"));
      return;
    }
    stopWaiting();
    await own.addLock(await askPasskey(free.map(freshPasskeyLock)));
    dialog.done(t("identity.passkey_done"));
  };
  use.addEventListener("click", () => attempt(use, wrong, deed));
  return [use, wrong];
}
