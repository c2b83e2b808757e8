// The card over a world whose visit has ended: why, and what can be done.
import { t } from "../i18n";
import { h } from "./dom";

export interface OverDoors {
  /** Comes back, where that is of use. */
  back: (() => void) | null;
  /** Goes to the list of worlds. */
  list(): void;
}

/** Puts it over a place, with the focus on what helps most. */
export function overCard(place: HTMLElement, title: string, why: string, { back, list }: OverDoors): void {
  const button = (kind: string, text: string, deed: () => void): HTMLButtonElement => {
    const made = h("button", { class: kind, text, attrs: { type: "button" } });
    made.addEventListener("click", deed);
    return made;
  };
  const again = back && button("primary", t("over.back"), back);
  const worlds = button(back ? "quiet" : "primary", t("over.worlds"), list);
  const card = h("div", { class: "card" }, h("h1", { text: title }), h("p", { class: "lead", text: why }), again, worlds);
  place.append(h("div", { class: "over", attrs: { role: "alertdialog", "aria-label": title } }, card));
  (again ?? worlds).focus();
}
