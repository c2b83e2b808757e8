// The dialogs of the recovery key: showing it once, using it, and beginning anew without it.
import { t } from "../../i18n";
import { busy, field, freshId, h, say } from "../dom";
import { closeDialog, notice, openDialog } from "../shell";
import type { Messages } from "./model";
import { words } from "./words";

/** Shows a new recovery key; it takes the place of an older one when the person says that they have it. */
export async function recoveryDialog(messages: Messages, closed: () => void = () => {}): Promise<void> {
  let key: string;
  try {
    key = await messages.call("newRecoveryKey");
  } catch (error) {
    notice(words(error), "bad");
    return;
  }
  const { userId } = messages.session;
  const id = freshId("key");
  const shown = h("textarea", { class: "key", text: key, attrs: { id, readonly: true, rows: 2, spellcheck: "false" } });
  shown.addEventListener("focus", () => shown.select());
  const copy = h("button", { class: "secondary", text: t("recovery.copy"), attrs: { type: "button" } });
  copy.addEventListener("click", () => {
    shown.select();
    navigator.clipboard.writeText(key).then(
      () => {
        copy.textContent = t("recovery.copied");
      },
      () => {},
    );
  });
  const file = URL.createObjectURL(new Blob([`${t("recovery.file", { user: userId })}\n\n${key}\n`], { type: "text/plain" }));
  const download = h(
    "a",
    { class: "secondary", text: t("recovery.download"), attrs: { href: file, download: "wayside-recovery-key.txt" } },
  );
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const done = h("button", { class: "primary", text: t("recovery.done"), attrs: { type: "button" } });
  done.addEventListener("click", () =>
    void busy(done, async () => {
      say(wrong, null);
      try {
        await messages.call("saveRecovery", key);
        closeDialog();
        notice(t("recovery.saved"));
      } catch (error) {
        say(wrong, words(error));
      }
    }),
  );
  const content = [
    h("p", { class: "lead", text: t("recovery.about") }),
    h("div", { class: "field" }, h("label", { text: t("recovery.label"), attrs: { for: id } }), shown),
    h("div", { class: "row" }, copy, download),
    h("p", { class: "hint", text: t("recovery.once") }),
    wrong,
    done,
  ];
  openDialog(t("recovery.title"), content, {
    closed: () => {
      URL.revokeObjectURL(file);
      closed();
    },
  });
  shown.focus();
}

/** Confirms this sign-in by the key that was saved at the first one. */
export function restoreDialog(messages: Messages, closed: () => void = () => {}): void {
  const attrs = { type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false", required: true, maxlength: 200 };
  const key = field(t("recovery.label"), { ...attrs, class: "key" }, t("restore.about"));
  const done = (): void => notice(t("restore.done"));
  asking(t("restore.title"), [], key, t("restore.do"), (value) => messages.call("restore", value), done, closed);
}

/** Makes new keys, where both the recovery key and every other device are gone. */
export function resetDialog(messages: Messages, closed: () => void = () => {}): void {
  const about = h("p", { class: "lead", text: t("reset.about") });
  const done = (): void => notice(t("reset.done"));
  const deed = (value: string): Promise<void> => messages.call("reset", value);
  asking(t("reset.title"), [about], passwordField(), t("reset.do"), deed, done, closed);
}

export function passwordField(): ReturnType<typeof field> {
  const attrs = { type: "password", autocomplete: "current-password", maxlength: 512, required: true };
  return field(t("reset.password"), attrs);
}

/** A dialog of one field and one button. */
export function asking(
  title: string,
  above: Node[],
  asked: ReturnType<typeof field>,
  label: string,
  deed: (value: string) => Promise<unknown>,
  done: () => void,
  closed: () => void,
): void {
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const go = h("button", { class: "primary", text: label, attrs: { type: "submit" } });
  const form = h("form", { class: "form" }, ...above, asked.row, wrong, go);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    say(wrong, null);
    void busy(go, async () => {
      try {
        await deed(asked.input.value);
        closeDialog();
        done();
      } catch (error) {
        const { status, code } = error as { status?: number; code?: string };
        const badPassword = asked.input.type === "password" && (status === 401 || code === "M_FORBIDDEN");
        say(wrong, badPassword ? t("error.password") : words(error));
        asked.input.focus();
      }
    });
  });
  openDialog(title, [form], { closed });
  asked.input.focus();
}

