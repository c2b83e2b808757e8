// The part of somebody's account about what they were given: badges and the like, who gave them, and who sees them.
import { credentials, type Held, remove, show } from "../../api/credentials";
import type { Session } from "../../api/session";
import { loadMore, t } from "../../i18n";
import { button, part, type Part } from "../account/part";
import { iconOf, saidText } from "../badges/said";
import { badgeWords, isOver, titleOf } from "../badges/words";
import { freshId, h, say } from "../dom";
import { icon } from "../icons";
import type { Place } from "../proof";
import { notice } from "../shell";
import { answered, isAnswered } from "./answered";
import { confirming, hint } from "./steps";

export async function heldPart(session: Session): Promise<Part> {
  await Promise.all([loadMore("badges"), loadMore("identity")]);
  return part(session, t("badges.title"), t("badges.lead"), async (place) => {
    const all = await credentials(session);
    if (all.length === 0) return [hint(t("badges.none"))];
    return [h("ul", { class: "held-list" }, ...all.map((one) => row(place, one)))];
  });
}

function row(place: Place, one: Held): HTMLElement {
  const isOffered = one.type === "Badge" && !one.shown && !isOver(one.untilMs, Date.now()) && !isAnswered(one.id);
  const choice = one.type === "Badge" && (isOffered ? offer(place, one) : showing(place, one));
  const head = h("div", { class: "held-head" }, icon(iconOf(one)), saidText({ ...one, saying: one }), removing(place, one));
  return h("li", { class: isOffered ? "offered" : "", attrs: { "data-held": one.id } }, head, choice);
}

/** Asks about a new badge whether everybody is to see it. */
function offer(place: Place, one: Held): HTMLElement {
  const answer = (shown: boolean) => async (): Promise<void> => {
    try {
      if (shown) await show(one.id, true, place.session);
      answered(one.id);
      await place.list(t(shown ? "badges.shown" : "badges.not_shown", { badge: titleOf(one) }));
      place.inside.querySelector<HTMLElement>(`[data-held="${CSS.escape(one.id)}"] input`)?.focus();
    } catch (error) {
      say(place.status, badgeWords(error));
    }
  };
  const label = (text: string): string => t("badges.do_about", { deed: text, badge: titleOf(one) });
  const [yes, no] = [t("badges.offer_yes"), t("badges.offer_no")];
  const deeds = h("div", { class: "row" }, button("secondary", yes, answer(true), label(yes)), button("quiet", no, answer(false), label(no)));
  return h("div", { class: "held-offer" }, h("p", { text: t("badges.offer") }), deeds);
}

/** Whether everybody sees it. */
function showing(place: Place, one: Held): HTMLElement {
  const id = freshId("shown");
  const text = t("badges.show");
  const label = t("badges.do_about", { deed: text, badge: titleOf(one) });
  const input = h("input", { attrs: { id, type: "checkbox", role: "switch", checked: one.shown, "aria-label": label } });
  input.addEventListener("change", () => void turn(place, one, input));
  return h("div", { class: "choice held-shown" }, input, h("label", { text, attrs: { for: id } }));
}

/** Turns the switch, and back where the home does not follow. */
async function turn(place: Place, one: Held, input: HTMLInputElement): Promise<void> {
  const shown = input.checked;
  input.disabled = true;
  try {
    await show(one.id, shown, place.session);
    answered(one.id);
    say(place.status, t(shown ? "badges.shown" : "badges.not_shown", { badge: titleOf(one) }));
  } catch (error) {
    input.checked = !shown;
    notice(badgeWords(error), "bad");
  }
  input.disabled = false;
  // What rests loses the focus; whoever has gone on meanwhile is not called back.
  if (document.activeElement === document.body) input.focus();
}

function removing(place: Place, one: Held): HTMLElement {
  const badge = titleOf(one);
  const deed = async (): Promise<void> => {
    await remove(one.id, place.session);
    await place.list("");
  };
  const ask = (): void => confirming(t("badges.remove_title", { badge }), t("badges.remove_lead"), t("badges.remove"), deed, t("badges.removed"));
  return button("secondary", t("badges.remove"), ask, t("badges.do_about", { deed: t("badges.remove"), badge }));
}
