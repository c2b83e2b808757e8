// Splitting the words among friends, any few of whom bring their person back.
import { localpart, type Session } from "../../api/session";
import type { Bytes } from "../../identity/bytes";
import { t } from "../../i18n";
import type { OwnIdentity } from "../../person";
import { field, h } from "../dom";
import { wordsField } from "./join";
import { copying, download, form, hint, lead, quiet, steps, tell, type Steps } from "./steps";

const MOST = 16;

export function guardiansDialog(own: OwnIdentity, session: Session): void {
  const dialog = steps();
  const { row, read } = wordsField();
  const deed = async (): Promise<void> => {
    const entropy = await read();
    await own.mustOpen(entropy);
    countStep(dialog, session, entropy);
  };
  const rows = [lead(t("identity.guardians_lead")), hint(t("identity.guardians_words")), row];
  dialog.show(t("identity.guardians_title"), form(rows, t("identity.join_do"), deed));
}

function countStep(dialog: Steps, session: Session, entropy: Bytes): void {
  const attrs = { type: "number", required: true, min: 2, max: MOST, inputmode: "numeric" };
  const count = field(t("identity.guardians_count"), { ...attrs, name: "count", value: 3 });
  const needed = field(t("identity.guardians_needed"), { ...attrs, name: "needed", value: 2 });
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const deed = async (): Promise<void> => {
    const [all, few] = [count.input.valueAsNumber, needed.input.valueAsNumber];
    if (few > all) {
      tell(wrong, t("identity.guardians_too_many"));
      return;
    }
    const { splitEntropy } = await import("../../identity/shares");
    const shares = await splitEntropy(entropy, few, all);
    sharesStep(dialog, session, shares, few);
  };
  const rows = [h("div", { class: "two" }, count.row, needed.row), wrong];
  dialog.show(t("identity.guardians_title"), form(rows, t("identity.guardians_split"), deed));
}

function sharesStep(dialog: Steps, session: Session, shares: readonly string[], needed: number): void {
  const count = shares.length;
  const rows = shares.map((share, at) => {
    const index = at + 1;
    const name = field(t("identity.guardian", { index }), { type: "text", name: `guardian-${index}`, autocomplete: "off", maxlength: 60 });
    const text = h("p", { class: "share", text: share, attrs: { translate: "no" } });
    const save = h("button", { class: "secondary", text: t("identity.guardian_save"), attrs: { type: "button", "aria-label": t("identity.guardian_download", { index }) } });
    save.addEventListener("click", () => {
      const called = name.input.value.trim() || t("identity.guardian_friend", { index });
      const letter = t("identity.guardian_file", { name: called, count, needed, user: session.userId });
      const file = `wayside-share-${localpart(session.userId)}-${called.replace(/[^\p{L}\p{N}]+/gu, "-")}.txt`;
      download(`${letter}\n\n${share}\n`, file, "text/plain");
    });
    return h("li", {}, name.row, text, h("div", { class: "row" }, copying(share, t("identity.guardian_copy", { index })), save));
  });
  dialog.show(
    t("identity.guardians_title"),
    lead(t("identity.guardians_shares", { needed, count })),
    h("ol", { class: "guardian-list" }, ...rows),
    quiet(t("identity.guardians_done"), () => dialog.done(t("identity.guardians_given")), "primary"),
  );
}
