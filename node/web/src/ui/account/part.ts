// One part of the page on which people look after their account: what it is, what is in it, and what came of it.
import type { Session } from "../../api/session";
import { t } from "../../i18n";
import { busy, h, say } from "../dom";
import { passkeyWords } from "../passkey";
import type { Place } from "../proof";

/** A part of the page, and the place in it where things happen. */
export interface Part extends Place {
  element: HTMLElement;
}

/** A part that fills itself, and does so again after each deed in it. */
export function part(session: Session, title: string, lead: string, fill: (place: Place) => Promise<Node[]>): Part {
  const status = h("p", { class: "hint", attrs: { role: "status", hidden: true } });
  const inside = h("div", { class: "account-inside" });
  const element = h(
    "section",
    { class: "card account-part" },
    h("h2", { text: title }),
    h("p", { class: "hint", text: lead }),
    inside,
    status,
  );
  const list = async (said: string): Promise<void> => {
    say(status, said);
    try {
      inside.replaceChildren(...(await fill(place)));
    } catch (error) {
      const again = button("secondary", t("passkey.again"), () => list(""));
      inside.replaceChildren(h("p", { class: "wrong", text: passkeyWords(error), attrs: { role: "alert" } }), again);
    }
  };
  const place: Part = { element, session, inside, status, list };
  void list("");
  return place;
}

/** A button that rests while its deed is done. */
export function button(look: string, text: string, deed: () => Promise<void> | void, label: string | null = null): HTMLButtonElement {
  const element = h("button", { class: look, text, attrs: { type: "button", "aria-label": label } });
  element.addEventListener("click", () => void busy(element, async () => deed()));
  return element;
}
