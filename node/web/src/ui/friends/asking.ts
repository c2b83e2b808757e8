// The form by which somebody is asked to be friends: by an address that is typed, or as whom one has before oneself.
import { MESSAGE_BYTES } from "../../api/friends";
import { localpart } from "../../api/session";
import { clean } from "../../api/text";
import type { Friends } from "../../friends/model";
import { readPerson } from "../../friends/typed";
import { t } from "../../i18n";
import { busy, field, freshId, h, say } from "../dom";
import { icon } from "../icons";
import { notice } from "../shell";
import { friendWords } from "./words";

export interface AskDoors {
  /** The node to which an address without one belongs. */
  serverName: string;
  /** They have been asked, or are a friend by now. */
  done(): void;
  back(): void;
}

/** Whom to ask, where that is known. */
export interface Somebody {
  userId: string;
  name: string;
}

export function askForm(friends: Friends, whom: Somebody | null, doors: AskDoors): HTMLFormElement {
  const attrs = { type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false", required: true, maxlength: 2_048 };
  const address = whom ? null : field(t("friends.address"), attrs, t("friends.address_hint"));
  const message = words();
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const go = h("button", { class: "primary", attrs: { type: "submit" } }, icon("plus"), t("friends.ask"));
  const back = h("button", { class: "quiet", text: t(whom ? "friends.keep" : "friends.back"), attrs: { type: "button" } });
  back.addEventListener("click", doors.back);
  // What is wrong with the address stands right below it.
  const form = h("form", { class: "form friend-form" }, address?.row ?? null, address && wrong, message.row, address ? null : wrong, go, back);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void busy(go, async () => {
      say(wrong, null);
      const userId = whom?.userId ?? readPerson(address?.input.value ?? "", doors.serverName);
      const trouble = await ask(friends, userId, whom?.name ?? null, message.input.value);
      say(wrong, trouble);
      if (trouble === null) doors.done();
      else (address?.input ?? message.input).focus();
    });
  });
  return form;
}

function words(): { row: HTMLElement; input: HTMLTextAreaElement } {
  const [id, hintId] = [freshId("field"), freshId("hint")];
  const input = h("textarea", { attrs: { id, rows: 2, maxlength: MESSAGE_BYTES, "aria-describedby": hintId } });
  const hint = h("p", { class: "hint", text: t("friends.message_hint"), attrs: { id: hintId } });
  return { row: h("div", { class: "field" }, h("label", { text: t("friends.message"), attrs: { for: id } }), input, hint), input };
}

/** Asks them; what went wrong comes back in words. */
async function ask(friends: Friends, userId: string | null, name: string | null, typed: string): Promise<string | null> {
  if (userId === null) return t("friends.error.address");
  if (userId === friends.session.userId) return t("friends.error.self");
  if (friends.isBlocked(userId)) return t("friends.error.blocked", { user: userId });
  if (friends.of(userId)?.standing === "friend") return t("friends.error.already");
  const message = clean(typed, MESSAGE_BYTES);
  if (new TextEncoder().encode(message).length > MESSAGE_BYTES) return t("friends.error.long");
  try {
    const standing = await friends.befriend(userId, message);
    const called = friends.of(userId)?.name ?? name ?? localpart(userId);
    notice(t(standing === "friend" ? "friends.friends_now" : "friends.asked_now", { name: called }));
    return null;
  } catch (error) {
    console.warn("somebody could not be asked to be friends", error);
    return friendWords(error, userId);
  }
}
