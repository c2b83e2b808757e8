// Signing out of an identity: asking whoever would lose it, and leaving nothing of it in this browser.
import type { Session } from "../../api/session";
import { loadMore, t } from "../../i18n";
import { identityOf, type OwnIdentity } from "../../person";
import { forgetHolder } from "../../present/holder";
import { closeDialog } from "../shell";
import { forgetAnswered } from "./answered";
import { lead, quiet, steps } from "./steps";

/** Says whether the person goes; then this browser has forgotten who they are. */
export async function leaving(session: Session): Promise<boolean> {
  const own = identityOf(session);
  if (!own) return true;
  if ((await own.wouldBeLost()) && !(await goesAnyway(own, session))) return false;
  await own.leave();
  forgetHere();
  return true;
}

async function goesAnyway(own: OwnIdentity, session: Session): Promise<boolean> {
  await loadMore("identity");
  return new Promise((resolve) => {
    const dialog = steps(() => resolve(false));
    const save = (): void => {
      closeDialog();
      void import("./save").then(({ saveDialog }) => saveDialog(own, session, false, () => {}));
    };
    const go = (): void => {
      resolve(true);
      closeDialog();
    };
    dialog.show(
      t("identity.leave_title"),
      lead(t("identity.leave_about")),
      quiet(t("identity.leave_save"), save, "primary"),
      quiet(t("identity.leave_stay"), closeDialog, "secondary"),
      quiet(t("identity.leave_anyway"), go, "secondary danger"),
    );
  });
}

/** The account is no more, and nothing can be asked of the node. */
export async function forgetIdentity(session: Session): Promise<void> {
  await identityOf(session)?.forget();
  forgetHere();
}

/** What pages remember beside the keys. */
function forgetHere(): void {
  forgetHolder();
  forgetAnswered();
}
