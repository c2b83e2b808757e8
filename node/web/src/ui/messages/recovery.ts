// The dialogs of the recovery key: showing it once, using it, and beginning anew without it.
import { type Proof, type Ways, waysToProve } from "../../api/proof";
import { confirmByPasskey } from "../../api/passkeys";
import { loadMore, t } from "../../i18n";
import { busy, field, freshId, h, say } from "../dom";
import { confirmOnPage } from "../elsewhere";
import { icon } from "../icons";
import { passkeyWords } from "../passkey";
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
export function resetDialog(messages: Messages, closed: () => void = () => {}): Promise<void> {
  const deed = {
    title: t("reset.title"),
    about: t("reset.about"),
    label: t("reset.do"),
    run: (proof: Proof) => messages.call("reset", proof),
    done: t("reset.done"),
  };
  return proving(messages, deed, closed);
}

/** What is done once its doer has shown who they are. */
export interface Deed {
  title: string;
  about: string;
  label: string;
  run: (proof: Proof) => Promise<unknown>;
  done: string;
}

/** A dialog that does something for which the node wants a proof, by whichever it takes of the person. */
export async function proving(messages: Messages, deed: Deed, closed: () => void = () => {}): Promise<void> {
  const { session } = messages;
  let ways: Ways;
  try {
    ways = await waysToProve(session.token);
    if (ways.passkey || ways.page) await loadMore("passkeys");
  } catch (error) {
    notice(words(error), "bad");
    return;
  }
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const run = (button: HTMLButtonElement, proof: () => Promise<Proof>, refused: () => string, end = (): void => {}): void => {
    say(wrong, null);
    void busy(button, async () => {
      try {
        await deed.run(await proof());
        closeDialog();
        notice(deed.done);
      } catch (error) {
        say(wrong, isRefusal(error) ? refused() : passkeyWords(error, words));
        wrong.scrollIntoView({ block: "nearest" });
      } finally {
        end();
      }
    });
  };
  const secret = { type: "password", name: "password", autocomplete: "current-password", maxlength: 512, required: true };
  const password = field(t("reset.password"), secret);
  // For the browser's own list of passwords.
  const user = h("input", { attrs: { autocomplete: "username", value: session.userId, hidden: true } });
  // Whoever has a password needs no second page for it.
  const byPage = ways.page && !ways.password;
  const byPassword = ways.password || !(ways.passkey || byPage);
  const go = h("button", { class: "primary", text: deed.label, attrs: { type: "submit" } });
  const key = h("button", { class: byPassword ? "secondary" : "primary", attrs: { type: "button" } }, icon("key"), t("passkey.use"));
  key.addEventListener("click", () => run(key, () => confirmByPasskey(session), () => t("passkey.unproven")));
  const page = h("button", { class: byPassword || ways.passkey ? "secondary" : "primary", attrs: { type: "button" } }, t("passkey.on_page"));
  page.addEventListener("click", () => {
    const end = sendToPage(messages);
    run(page, async () => "page", () => t("passkey.unproven"), end);
  });
  const form = h(
    "form",
    { class: "form" },
    h("p", { class: "lead", text: deed.about }),
    ways.password && user,
    ways.password && password.row,
    wrong,
    byPassword && go,
    ways.passkey && key,
    byPage && page,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const proof = ways.password ? { password: password.input.value } : null;
    run(go, async () => proof, () => t("error.password"));
  });
  openDialog(deed.title, [form], { closed });
  (ways.password ? password.input : byPassword ? go : ways.passkey ? key : page).focus();
}

/** Opens the sign-in page for what the device is about to have confirmed, until the returned function is called. */
function sendToPage(messages: Messages): () => void {
  let sent = false;
  return messages.watch(() => {
    const session = messages.overview?.toConfirm;
    if (sent || session == null) return;
    sent = true;
    const answer = (done: boolean): Promise<void> => messages.call("confirmed", session, done);
    confirmOnPage(session).then(() => answer(true), () => answer(false)).catch((error: unknown) => console.warn(error));
  });
}

/** What was shown was not enough, or was wrong. */
function isRefusal(error: unknown): boolean {
  const { status, code } = error as { status?: number; code?: string };
  return status === 401 || code === "M_FORBIDDEN";
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
        say(wrong, words(error));
        asked.input.focus();
      }
    });
  });
  openDialog(title, [form], { closed });
  asked.input.focus();
}

