// A card beside the worlds that asks, once and kindly, to save what brings somebody's identity back.
import "../messages/messages.css";
import type { Session } from "../../api/session";
import { loadMore, t } from "../../i18n";
import { identityOf } from "../../person";
import { h } from "../dom";
import { icon } from "../icons";
import { quiet } from "./steps";

/** Where it is remembered that somebody wants to be asked later: as long as this tab is open. */
const LATER = "wayside.identity-later";

/** Sees to it that a member has an identity, and asks them to save it while it is not. */
export async function identityCard(session: Session, place: HTMLElement): Promise<void> {
  const own = identityOf(session);
  if (!own) return;
  const { state, portable, canChange } = await own.ensure();
  if (state !== "mine" || portable || !canChange || sessionStorage.getItem(LATER) === session.userId) return;
  await loadMore("identity");
  if (!place.isConnected) return;
  const save = quiet(t("identity.save_now"), () => {
    void import("./save").then(({ saveDialog }) => saveDialog(own, session, false, () => void again()));
  }, "secondary");
  const come = quiet(t("identity.moving.open"), () => {
    void import("./moving").then(({ movingDialog }) => movingDialog(own, session, true, () => void again()));
  });
  const later = quiet(t("identity.later"), () => {
    sessionStorage.setItem(LATER, session.userId);
    card.remove();
  });
  const card = h(
    "section",
    { class: "note-card identity", attrs: { "aria-label": t("identity.card") } },
    icon("key"),
    h("div", {}, h("b", { text: t("identity.card") }), h("p", { text: t("identity.card_about") })),
    h("div", { class: "row" }, save, later, come),
  );
  const again = async (): Promise<void> => {
    if ((await own.ensure()).portable) card.remove();
  };
  place.querySelector(".worlds-head")?.after(h("div", { class: "cards" }, card));
}
