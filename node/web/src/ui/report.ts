// What the node found in a file, in words.
import type { Issue } from "../api/node";
import { t } from "../i18n";
import { h } from "./dom";

const ORDER = ["error", "warning", "information"];

export function reportView(verdict: string, issues: readonly Issue[]): HTMLElement {
  const sorted = [...issues].sort((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
  const rows = sorted.map((issue) =>
    h(
      "li",
      { class: issue.severity },
      h("b", { text: `${t(`avatar.severity.${issue.severity}`)}: ` }),
      issue.message,
      issue.pointer !== undefined && issue.pointer !== "" && h("code", { text: issue.pointer }),
    ),
  );
  return h(
    "div",
    { class: "report" },
    h("p", { text: verdict }),
    rows.length > 0 && h("p", { class: "hint", text: t("avatar.report") }),
    rows.length > 0 && h("ul", {}, ...rows),
  );
}
