// The badges that somebody shows: small behind their name, or one below the other with who gave them.
import { t } from "../i18n";
import type { WornBadge } from "../net/codec";
import { h } from "./dom";
import { icon } from "./icons";

/** Small, behind a name; null where there are none. */
export function pills(badges: readonly WornBadge[]): HTMLElement | null {
  return badges.length === 0 ? null : h("span", { class: "pills" }, ...badges.map(pill));
}

function pill({ name, issuer }: WornBadge): HTMLElement {
  const by = `, ${t("hud.badge_by", { issuer })}`;
  return h("span", { class: "pill", attrs: { title: name + by } }, icon("badge"), h("bdi", { text: name }), h("span", { class: "unseen", text: by }));
}

/** Each with who gave it; null where there are none. */
export function badgeList(badges: readonly WornBadge[]): HTMLElement | null {
  if (badges.length === 0) return null;
  const rows = badges.map(({ name, issuer }) =>
    h("li", {}, icon("badge"), h("span", { class: "row-text" }, h("bdi", { text: name }), h("span", { class: "note", text: t("hud.badge_by", { issuer }) }))),
  );
  return h("ul", { class: "badge-list" }, ...rows);
}
