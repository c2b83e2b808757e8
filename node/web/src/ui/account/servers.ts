// How it goes with other servers: those that do not answer first, why, and what waits for them.
import { runsNode, type Standing, type Standings, standings, tryNow } from "../../api/servers";
import type { Session } from "../../api/session";
import { locale, t } from "../../i18n";
import { h } from "../dom";
import type { Place } from "../proof";
import { button, part } from "./part";

/** Shows it in that place to those who run the node; to all others there is nothing. */
export async function serversPart(place: HTMLElement, session: Session): Promise<void> {
  if (!(await runsNode(session))) return;
  const known: Standing[] = [];
  let next: string | null = "";
  const filled = part(session, t("servers.title"), t("servers.lead"), async (inside) => {
    // From the beginning after each deed.
    const page = await standings(session, "");
    known.splice(0, known.length, ...page.servers);
    next = page.next;
    return shown(page, inside);
  });
  place.replaceWith(filled.element);

  function shown(page: Standings, inside: Place): Node[] {
    if (known.length === 0) return [h("p", { class: "hint", text: t("servers.none") })];
    const sum = t("servers.sum", { failing: page.failing, waiting: page.waiting_events, others: page.waiting_edus });
    const list = h("ul", { class: "device-list" }, ...known.map((one) => row(one, inside)));
    const again = button("quiet", t("servers.again"), () => inside.list(""));
    const more = next === null ? null : button("secondary", t("servers.more"), () => further(inside));
    return [h("p", { text: sum }), list, h("div", { class: "row" }, again, ...(more ? [more] : []))];
  }

  async function further(inside: Place): Promise<void> {
    const page = await standings(session, next ?? "");
    known.push(...page.servers);
    next = page.next;
    inside.inside.replaceChildren(...shown(page, inside));
  }

  function row(one: Standing, inside: Place): HTMLElement {
    const lines = said(one).map((text) => h("p", { class: "hint", text }));
    const deed = async (): Promise<void> => {
      await tryNow(session, one.server);
      await inside.list(t("servers.tried", { server: one.server }));
    };
    const again = one.retry_ms !== null && button("secondary", t("servers.try"), deed, t("servers.try_one", { server: one.server }));
    return h("li", {}, h("div", {}, h("strong", { text: one.server }), ...lines), again);
  }
}

function said(one: Standing): string[] {
  const reached = one.reached_ms === null ? t("servers.never") : t("servers.reached", { when: time(one.reached_ms) });
  const lines = [one.failures > 0 ? t("servers.failing", { times: one.failures, when: time(one.failing_ms ?? 0) }) : reached];
  if (one.failures > 0) lines.push(reached);
  if (one.why !== null) lines.push(t(one.failures > 0 ? "servers.why" : "servers.refuses", { why: one.why }));
  if (one.retry_ms !== null) lines.push(t("servers.retry", { when: time(one.retry_ms) }));
  if (one.waiting_events > 0) lines.push(t("servers.waiting", { waiting: one.waiting_events }));
  if (one.waiting_rooms > 0) lines.push(t("servers.behind", { rooms: one.waiting_rooms }));
  if (one.waiting_edus > 0) lines.push(t("servers.others", { waiting: one.waiting_edus }));
  return lines;
}

const time = (ms: number): string => new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "medium" }).format(ms);
