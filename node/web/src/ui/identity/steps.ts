// A dialog that shows one thing after the other, and the forms in it.
import "./identity.css";
import { t } from "../../i18n";
import { busy, h, say } from "../dom";
import { closeDialog, notice, openDialog } from "../shell";
import { identityWords } from "./errors";

export interface Steps {
  /** Shows something in place of what was there. */
  show(title: string, ...content: Node[]): void;
  /** Closes the dialog, and says what was done. */
  done(said: string): void;
}

export function steps(closed: () => void = () => {}): Steps {
  const body = h("div", { class: "identity-step" });
  const dialog = openDialog(t("identity.title"), [body], { closed });
  dialog.classList.add("identity-dialog");
  const show = (title: string, ...content: Node[]): void => {
    dialog.setAttribute("aria-label", title);
    const heading = dialog.querySelector("h2");
    if (heading) heading.textContent = title;
    body.replaceChildren(...content);
    dialog.querySelector(".dialog-body")?.scrollTo(0, 0);
    // What is read first stays in sight, however small the window.
    body.querySelector<HTMLElement>("input:not([hidden]), textarea, .primary")?.focus({ preventScroll: true });
  };
  const done = (said: string): void => {
    closeDialog();
    notice(said);
  };
  return { show, done };
}

/** Opens a dialog with what has to be fetched first; says what went wrong where that fails. */
export async function opening(deed: () => Promise<void>): Promise<void> {
  try {
    await deed();
  } catch (error) {
    notice(identityWords(error), "bad");
  }
}

/** Fields, a button, and whatever stands below it. */
export function form(rows: Node[], label: string, deed: () => Promise<void>, below: Node[] = []): HTMLFormElement {
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const go = h("button", { class: "primary", text: label, attrs: { type: "submit" } });
  const element = h("form", { class: "form" }, ...rows, wrong, go, ...below);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(go, wrong, deed);
  });
  return element;
}

/** Runs what a button does, and says beside it what went wrong. */
export function attempt(button: HTMLButtonElement, wrong: HTMLElement, deed: () => Promise<void>): void {
  say(wrong, null);
  void busy(button, async () => {
    try {
      await deed();
    } catch (error) {
      tell(wrong, identityWords(error));
    }
  });
}

/** Says what is wrong where it is seen, however small the window. */
export function tell(wrong: HTMLElement, text: string): void {
  say(wrong, text);
  wrong.scrollIntoView({ block: "nearest" });
}

/** Something that is asked once more before it is done. */
export function confirming(title: string, lead: string, label: string, deed: () => Promise<void>, said: string): void {
  const dialog = steps();
  const go = form([h("p", { class: "lead", text: lead })], label, async () => {
    await deed();
    dialog.done(said);
  });
  dialog.show(title, go);
}

export const lead = (text: string): HTMLElement => h("p", { class: "lead", text });
export const hint = (text: string): HTMLElement => h("p", { class: "hint", text });

/** A button beside what matters most. */
export function quiet(text: string, deed: () => void, look = "quiet"): HTMLButtonElement {
  const element = h("button", { class: look, text, attrs: { type: "button" } });
  element.addEventListener("click", deed);
  return element;
}

/** A button that copies a text. */
export function copying(text: string, label: string | null = null): HTMLButtonElement {
  const element = h("button", { class: "secondary", text: t("identity.copy"), attrs: { type: "button", "aria-label": label } });
  element.addEventListener("click", () => {
    // Only pages that came over TLS, or from this machine, may copy by themselves.
    Promise.resolve(navigator.clipboard?.writeText(text) ?? Promise.reject(new Error("no clipboard"))).then(
      () => {
        element.textContent = t("identity.copied");
      },
      () => notice(t("identity.copy_failed"), "bad"),
    );
  });
  return element;
}

/** Has the browser keep a text as a file. */
export function download(text: string, name: string, type: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = h("a", { attrs: { href: url, download: name, hidden: true } });
  document.body.append(link);
  link.click();
  link.remove();
  // The browser reads it after the click is over.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
