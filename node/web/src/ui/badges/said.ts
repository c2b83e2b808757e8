// A credential as it stands in a list: what it says, whose word it is, and until when.
import "./badges.css";
import type { Saying } from "../../api/credentials";
import { t } from "../../i18n";
import { h } from "../dom";
import type { Icon } from "../icons";
import { aboutOf, titleOf, untilWords } from "./words";

interface Said {
  saying: Saying;
  issuerName: string;
  untilMs: number | null;
}

const ICONS: Record<Saying["type"], Icon> = { Badge: "badge", AgeGroup: "check", NodeRole: "shield" };

export const iconOf = ({ type }: Saying): Icon => ICONS[type];

/** What others wrote in it changes the order of no words around it. */
export function saidText({ saying, issuerName, untilMs }: Said): HTMLElement {
  const about = aboutOf(saying);
  const by = [issuerName === "" ? null : t("badges.by", { issuer: issuerName }), untilWords(untilMs, Date.now())];
  return h(
    "div",
    { class: "held-text" },
    h("strong", {}, h("bdi", { text: titleOf(saying) })),
    about !== "" && h("p", {}, h("bdi", { text: about })),
    h("p", { class: "hint", text: by.filter((line) => line !== null).join(" · ") }),
  );
}
