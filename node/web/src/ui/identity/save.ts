// Saving what brings an identity back: twelve words or a file, shown once, and a look whether they are there.
import { localpart, type Session } from "../../api/session";
import { personOf } from "../../identity/document";
import { writeRecoveryFile } from "../../identity/recovery";
import { wordsOf } from "../../identity/words";
import { t } from "../../i18n";
import type { OwnIdentity, ToSave } from "../../person";
import { field, h, say } from "../dom";
import { lockStep } from "./lock";
import { attempt, copying, download, form, hint, lead, opening, quiet, steps, tell } from "./steps";

/** How many of the words are asked for. */
const ASKED = 2;

/** Shows the words, and what is to be done with them. Those that are new take the place of others. */
export function saveDialog(own: OwnIdentity, session: Session, isNew: boolean, closed: () => void): Promise<void> {
  return opening(async () => {
    const save = await (isNew ? own.newWords() : own.toSave());
    const words = wordsOf(save.recovery.entropy);
    const about = t(isNew ? "identity.save_about_new" : "identity.save_about");
    const dialog = steps(closed);
    const saved = async (): Promise<void> => {
      await save.saved();
      // What opens it on other devices is set once: new words leave it as it is.
      if (isNew) dialog.done(t("identity.saved"));
      else lockStep(dialog, own, session, t("identity.saved"));
    };
    const show = (): void => dialog.show(t("identity.save_title"), ...wordsStep(session, save, words, about, saved, check));
    const check = (): void => dialog.show(t("identity.check_title"), checkStep(words, saved, show));
    show();
  });
}

function wordsStep(
  session: Session,
  save: ToSave,
  words: readonly string[],
  about: string,
  saved: () => Promise<void>,
  check: () => void,
): Node[] {
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const print = quiet(t("identity.print"), () => printed(session, words), "secondary");
  const file = quiet(t("identity.download"), () => attempt(file, wrong, keepFile), "secondary");
  const fileSaved = quiet(t("identity.file_saved"), () => attempt(fileSaved, wrong, saved), "secondary");
  fileSaved.hidden = true;
  const keepFile = async (): Promise<void> => {
    const { recovery, log, copies } = save;
    const { service: home } = personOf(log.last.state);
    const name = session.name.trim() || session.userId;
    const text = await writeRecoveryFile({ name, home, recovery, log, copies, savedMs: Date.now() });
    download(text, `wayside-identity-${localpart(session.userId)}.json`, "application/json");
    fileSaved.hidden = false;
  };
  return [
    lead(about),
    wordList(words),
    h("div", { class: "row" }, copying(words.join(" ")), print, file),
    hint(t("identity.save_secret")),
    wrong,
    quiet(t("identity.written"), check, "primary"),
    fileSaved,
  ];
}

const wordList = (words: readonly string[]): HTMLElement =>
  h("ol", { class: "word-list", attrs: { translate: "no" } }, ...words.map((word) => h("li", {}, h("span", { text: word }))));

/** Asks for some of the words by their number, in their order. */
function checkStep(words: readonly string[], saved: () => Promise<void>, back: () => void): HTMLElement {
  const attrs = { type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false", required: true, maxlength: 40 };
  const asked = someOf(words.length).map((at) => {
    const { row, input } = field(t("identity.check_word", { number: at + 1 }), { ...attrs, name: `word-${at + 1}` });
    return { at, row, input };
  });
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const deed = async (): Promise<void> => {
    say(wrong, null);
    const missed = asked.find(({ at, input }) => input.value.trim().toLowerCase() !== words[at]);
    if (!missed) {
      await saved();
      return;
    }
    tell(wrong, t("identity.check_wrong", { number: missed.at + 1 }));
    missed.input.focus();
  };
  const rows = [lead(t("identity.check_lead")), h("div", { class: "two" }, ...asked.map(({ row }) => row)), wrong];
  return form(rows, t("identity.check_done"), deed, [quiet(t("identity.check_again"), back)]);
}

function someOf(count: number): number[] {
  const chosen = new Set<number>();
  while (chosen.size < ASKED) chosen.add(Math.floor(Math.random() * count));
  return [...chosen].sort((one, other) => one - other);
}

/** Prints a sheet with the words, and nothing else of the page. */
function printed({ userId }: Session, words: readonly string[]): void {
  const sheet = h(
    "section",
    { class: "print-sheet" },
    h("h1", { text: t("identity.print_title", { user: userId }) }),
    h("p", { text: t("identity.print_about") }),
    wordList(words),
  );
  document.body.append(sheet);
  document.body.classList.add("printing");
  window.addEventListener(
    "afterprint",
    () => {
      sheet.remove();
      document.body.classList.remove("printing");
    },
    { once: true },
  );
  window.print();
}
