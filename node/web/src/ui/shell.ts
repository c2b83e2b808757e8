// What every screen stands on: the place of screens, dialogs, short notices.
import "./style.css";
import { t } from "../i18n";
import { h } from "./dom";
import evening from "./evening.webp";
import { icon } from "./icons";

const NOTICE_MS = 4500;
/** What is longer takes longer to read. */
const LETTER_MS = 62;

const place = h("div", { class: "screen" });
const notices = h("div", { class: "notices", attrs: { role: "status", "aria-live": "polite" } });
let open: { dialog: HTMLDialogElement; closed: () => void } | null = null;

export function mount(): void {
  document.body.replaceChildren(place, notices);
  const { classList } = document.documentElement;
  window.addEventListener("keydown", (event) => classList.toggle("tabbing", event.key === "Tab"));
}

/** Replaces the screen, and gives the focus to what is read first. */
export function screen(name: string, ...children: (Node | string)[]): HTMLElement {
  closeDialog();
  document.body.dataset.screen = name;
  place.replaceChildren(...children);
  return place;
}

/** Says something that goes away by itself. */
export function notice(text: string, kind: "good" | "bad" = "good"): void {
  const element = h("div", { class: `notice ${kind}`, text });
  notices.append(element);
  const lastsMs = Math.max(NOTICE_MS, text.length * LETTER_MS);
  setTimeout(() => element.classList.add("going"), lastsMs - 300);
  setTimeout(() => element.remove(), lastsMs);
}

/** Opens a dialog over whatever is there; there is one at a time. */
export function openDialog(
  title: string,
  content: Node[],
  options: { wide?: boolean; closed?: () => void } = {},
): HTMLDialogElement {
  closeDialog();
  const close = h(
    "button",
    { class: "round", attrs: { type: "button", "aria-label": t("settings.close") } },
    icon("close"),
  );
  const dialog = h(
    "dialog",
    { class: options.wide ? "dialog wide" : "dialog", attrs: { "aria-label": title } },
    h("header", {}, h("h2", { text: title }), close),
    h("div", { class: "dialog-body" }, ...content),
  );
  close.addEventListener("click", closeDialog);
  dialog.addEventListener("click", (event) => {
    // Only a click beside the dialog has the dialog itself as its target.
    if (event.target === dialog) closeDialog();
  });
  dialog.addEventListener("close", () => {
    if (open?.dialog === dialog) closeDialog();
  });
  document.body.append(dialog);
  dialog.showModal();
  open = { dialog, closed: options.closed ?? (() => {}) };
  return dialog;
}

export function closeDialog(): void {
  if (!open) return;
  const { dialog, closed } = open;
  open = null;
  dialog.close();
  dialog.remove();
  closed();
}

export function dialogIsOpen(): boolean {
  return open !== null;
}

/** The picture behind what comes before a world: art/evening.svg, drawn once and for everybody. */
export function scenery(): HTMLElement {
  return h("img", { class: "scenery", attrs: { src: evening, alt: "", "aria-hidden": "true" } });
}

/** The mark and name of the program. */
export function brand(nodeName: string): HTMLElement {
  const mark = h("img", { attrs: { src: "/icon.svg", alt: "", width: 34, height: 34 } });
  return h(
    "div",
    { class: "brand" },
    mark,
    h("span", { class: "brand-name", text: t("app.name") }),
    nodeName !== "" && h("span", { class: "brand-node", text: nodeName }),
  );
}
