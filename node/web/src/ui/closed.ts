// The page before a door that does not open: there is no such world, or it is not for whoever asks.
import type { NodeInfo } from "../api/node";
import type { Session } from "../api/session";
import { t } from "../i18n";
import { busy, h } from "./dom";
import { icon } from "./icons";
import { brand, scenery, screen } from "./shell";

export interface ClosedDoors {
  /** Looks whether it opens by now. */
  again(): Promise<void>;
  /** Goes to the list of worlds. */
  list(): void;
}

export function closedPage(node: NodeInfo, session: Session, doors: ClosedDoors): void {
  const still = h("p", { class: "hint", attrs: { role: "status" } });
  const again = h("button", { class: "primary", text: t("closed.again"), attrs: { type: "button" } });
  again.addEventListener("click", () =>
    void busy(again, async () => {
      still.textContent = "";
      await doors.again();
      still.textContent = t("closed.still");
    }),
  );
  const list = h("button", { class: "quiet", text: t("over.worlds"), attrs: { type: "button" } });
  list.addEventListener("click", doors.list);
  const card = h(
    "main",
    { class: "card welcome-card closed-card" },
    icon("lock"),
    h("h1", { text: t("closed.title") }),
    h("p", { class: "lead", text: t("closed.about") }),
    h("p", { class: "lead", text: t(session.guest ? "closed.guest" : "closed.who") }),
    h("p", { class: "address", text: session.userId }),
    again,
    still,
    list,
  );
  screen("welcome", scenery(), h("div", { class: "welcome" }, brand(node.name), card));
  again.focus();
}
