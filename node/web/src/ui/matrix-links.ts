// The part of the settings by which links to rooms of Matrix open on this node.
import { loadMore, t } from "../i18n";
import { h } from "./dom";
import { icon } from "./icons";

/** The scheme that browsers leave to pages, and the one that is registered for Matrix. */
const SCHEMES = ["web+matrix", "matrix"];

/** Fills the place, where the browser can ask its person. */
export async function matrixLinksPart(place: HTMLElement): Promise<void> {
  if (!isSecureContext || !("registerProtocolHandler" in navigator)) return;
  await loadMore("portals");
  const said = h("p", { class: "hint", text: t("portals.links_hint"), attrs: { role: "status" } });
  const button = h("button", { class: "secondary", attrs: { type: "button" } }, icon("link"), t("portals.links"));
  button.addEventListener("click", () => {
    for (const scheme of SCHEMES) offer(scheme);
    said.textContent = t("portals.links_asked");
  });
  place.classList.add("matrix-links");
  place.replaceChildren(button, said);
}

function offer(scheme: string): void {
  try {
    navigator.registerProtocolHandler(scheme, "/open?uri=%s");
  } catch (error) {
    // Some browsers know only one of the two.
    console.warn(`links of ${scheme} cannot be opened here`, error);
  }
}
