// Coming in with a passkey: a button, what the browser offers beside the name, and a new password.
import { ApiError } from "../api/http";
import { hasPasskeys, type NodeInfo } from "../api/node";
import { forgetPasskey, PasskeyError, replacePassword, type Shown, showPasskey, stopWaiting, waitForPasskey } from "../api/passkeys";
import { loadMore, t } from "../i18n";
import { busy, field, h, say } from "./dom";
import { words } from "./errors";
import { icon } from "./icons";

/** A card that shows one thing after the other. */
type Show = (...children: Node[]) => void;

export interface PasskeyDoors {
  /** Lets somebody in who showed a passkey. */
  enter(shown: Shown): Promise<void>;
  /** Where somebody goes who has forgotten their password; nowhere, where that is not to be. */
  forgotten: (() => void) | null;
}

/** Says what went wrong where it is seen, however small the window. */
function tell(place: HTMLElement, error: unknown): void {
  say(place, passkeyWords(error));
  place.scrollIntoView({ block: "nearest" });
}

/** What went wrong with a passkey, and what can be done about it. */
export function passkeyWords(error: unknown, otherwise: (error: unknown) => string = words): string {
  if (error instanceof PasskeyError) return t(`passkey.${error.why}`);
  if (error instanceof ApiError && error.code === "M_NOT_FOUND") return t("passkey.unknown");
  return otherwise(error);
}

/** Puts the ways in by a passkey into a place beside a form, where there are such. */
export async function passkeyDoor(place: HTMLElement, node: NodeInfo, doors: PasskeyDoors): Promise<void> {
  if (!hasPasskeys(node)) return;
  await loadMore("passkeys");
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const go = h("button", { class: "secondary", attrs: { type: "button" } }, icon("key"), t("passkey.sign_in"));
  const enter = async (shown: Shown): Promise<void> => {
    try {
      await doors.enter(shown);
    } catch (error) {
      if (error instanceof ApiError && error.code === "M_NOT_FOUND") forgetPasskey(shown);
      throw error;
    }
  };
  const wait = async (): Promise<void> => {
    const shown = await waitForPasskey(place);
    if (!shown || !place.isConnected) return;
    say(wrong, null);
    await busy(go, () => enter(shown).catch((error: unknown) => tell(wrong, error)));
  };
  // What the browser offers by itself is beside the point where it cannot, or its person will not.
  const offer = (): void => void wait().catch(() => {});
  go.addEventListener("click", () => {
    performance.mark("wayside:click");
    say(wrong, null);
    void busy(go, async () => {
      try {
        await enter(await showPasskey("sign_in"));
      } catch (error) {
        tell(wrong, error);
        offer();
      }
    });
  });
  const { forgotten } = doors;
  const forgot = forgotten && h("button", { class: "quiet", text: t("passkey.forgot"), attrs: { type: "button" }, on: { click: forgotten } });
  place.replaceChildren(go, wrong, ...(forgot ? [forgot] : []));
  offer();
}

/** Lets somebody show a passkey and choose a new password, in a card. */
export function newPassword(
  show: Show,
  done: (user: string, password: string) => Promise<void>,
  back: () => void,
): void {
  const title = h("h1", { text: t("passkey.new_password") });
  const away = h("button", { class: "quiet", text: t("passkey.back"), attrs: { type: "button" }, on: { click: back } });
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const go = h("button", { class: "primary", attrs: { type: "button" } }, icon("key"), t("passkey.use"));
  go.addEventListener("click", () => {
    say(wrong, null);
    void busy(go, async () => {
      try {
        choose(await showPasskey("password"));
      } catch (error) {
        tell(wrong, error);
      }
    });
  });
  stopWaiting();
  show(title, h("p", { class: "lead", text: t("passkey.new_password_lead") }), wrong, go, away);
  go.focus();

  function choose(shown: Shown): void {
    const secret = { type: "password", name: "password", autocomplete: "new-password", minlength: 8, maxlength: 512 };
    const password = field(t("welcome.password_new"), { ...secret, required: true }, t("welcome.password_hint"));
    const set = h("button", { class: "primary", text: t("passkey.set"), attrs: { type: "submit" } });
    const form = h("form", { class: "form" }, password.row, wrong, set);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      say(wrong, null);
      void busy(set, async () => {
        try {
          const user = await replacePassword(shown, password.input.value);
          await done(user, password.input.value);
        } catch (error) {
          tell(wrong, error);
        }
      });
    });
    show(title, h("p", { class: "lead", text: t("passkey.choose_lead") }), form, away);
    password.input.focus();
  }
}
