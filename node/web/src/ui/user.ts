// The field for who somebody is that signs in: their name, or their address where the node knows such.
import type { NodeInfo } from "../api/node";
import { t } from "../i18n";
import { field } from "./dom";

export function userField(node: NodeInfo, attrs: Record<string, string | number | boolean | null> = {}): ReturnType<typeof field> {
  const common = { name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true, ...attrs };
  return node.emails ? field(t("welcome.user_or_mail"), common, t("welcome.user_hint")) : field(t("welcome.user"), common);
}
