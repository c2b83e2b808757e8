// The page for a `matrix:` link that leads to no world: what it may be, and what opens it.
import type { NodeInfo } from "../api/node";
import { loadMore, t } from "../i18n";
import { h } from "./dom";
import { icon } from "./icons";
import { brand, scenery, screen } from "./shell";

export async function unopenedPage(node: NodeInfo, list: () => void): Promise<void> {
  await loadMore("portals");
  const button = h("button", { class: "primary", text: t("over.worlds"), attrs: { type: "button" } });
  button.addEventListener("click", list);
  const card = h(
    "main",
    { class: "card welcome-card closed-card" },
    icon("link"),
    h("h1", { text: t("portals.unopened") }),
    h("p", { class: "lead", text: t("portals.unopened_lead") }),
    button,
  );
  screen("welcome", scenery(), h("div", { class: "welcome" }, brand(node.name), card));
  button.focus();
}
