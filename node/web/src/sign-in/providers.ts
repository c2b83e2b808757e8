// The part of the sign-in page for those whom a provider of identities knows.
import type { NodeInfo, Provider } from "../api/node";
import type { Shown } from "../api/passkeys";
import { usernameOf } from "../api/session";
import { t } from "../i18n";
import { busy, field, h, say } from "../ui/dom";
import { words } from "../ui/errors";
import { passkeyDoor } from "../ui/passkey";
import { userField } from "../ui/user";
import { arrive, type Arrived, kept, type Known, leave, makeAccount, makeKnown, type Newcomer } from "./away";
import { rememberHome } from "./home";

/** What the page does with somebody who has come back. */
export interface Return {
  node: NodeInfo;
  /** Shows these on the card. */
  show(...children: (Node | null)[]): void;
  /** A form of the page. */
  form(button: string, deed: () => Promise<void>, ...rows: Node[]): HTMLFormElement;
  /** Goes on with what the page was asked, for somebody who has proven who they are. */
  proven(page: URL, userId: string | null, token: string): Promise<void>;
  /** Goes on with what is confirmed there, by what somebody brings from their provider. */
  confirming(page: URL, word: { word: string; browser: string }): Promise<void>;
}

/** For what somebody goes to a provider, and what its button says. */
interface Errand {
  label: (name: string) => string;
  confirm: boolean;
}

/** A button for each provider, and a line for what went wrong on the way out. */
export function providerButtons(
  providers: Provider[],
  page: URL,
  { label, confirm }: Errand = { label: (name) => t("welcome.with", { name }), confirm: false },
): HTMLElement | null {
  if (providers.length === 0) return null;
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const buttons = providers.map((provider) => {
    const button = h("button", { class: "secondary", text: label(provider.name), attrs: { type: "button" } });
    button.addEventListener("click", () => {
      say(wrong, null);
      void busy(button, () => leave(provider, page, confirm).catch((error: unknown) => say(wrong, words(error))));
    });
    return button;
  });
  return h("div", { class: "providers" }, ...buttons, wrong);
}

/** Whoever left to confirm something, or to be known, is signed in or was not about to be. */
function lostTitle(left: string | undefined): "providers.lost" | "providers.unconfirmed" {
  const wasSigningIn = left === undefined || (left.startsWith("/sign-in") && !left.includes("confirm="));
  return wasSigningIn || left.startsWith("/link") ? "providers.lost" : "providers.unconfirmed";
}

/** Takes somebody in who comes back from a provider. */
export async function takeIn(address: URL, page: Return): Promise<void> {
  const away = kept();
  const again = (from: string): HTMLElement => h("a", { class: "primary", text: t("providers.again"), attrs: { href: from } });
  const lost = (text: string, from: string): void =>
    page.show(h("h1", { text: t(lostTitle(away?.page)) }), h("p", { class: "lead", text }), again(from));
  // What stands in the address is good once: nobody loads it again.
  history.replaceState(null, "", "/sign-in/return");
  if (!away) return lost(t("providers.elsewhere"), "/");
  const goal = new URL(away.page, location.origin);
  let arrived: Arrived | { failed: string } | null;
  try {
    arrived = await arrive(address, away);
  } catch (error) {
    return lost(words(error), away.page);
  }
  if (!arrived) return lost(t("providers.refused"), away.page);
  if ("failed" in arrived) return lost(t("providers.failed", { text: arrived.failed }), away.page);
  if (away.home !== undefined) rememberHome(away.home);
  if ("login_token" in arrived) return page.proven(goal, arrived.user_id, arrived.login_token);
  if ("word" in arrived) return page.confirming(goal, { word: arrived.word, browser: away.browser });
  if ("linked" in arrived) {
    const name = arrived.linked;
    const on = h("a", { class: "primary", text: t("sign_in.go"), attrs: { href: away.page } });
    const lead = t("providers.linked_lead", { provider: name, user: arrived.user_id });
    return page.show(h("h1", { text: t("providers.linked", { provider: name }) }), h("p", { class: "lead", text: lead }), on);
  }

  const quiet = (text: string, deed: () => void): HTMLElement =>
    h("button", { class: "quiet", text, attrs: { type: "button" }, on: { click: deed } });
  const names = { name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true };

  function asNewcomer(newcomer: Newcomer): void {
    const name = field(t("providers.name"), { ...names, maxlength: 64, value: newcomer.name }, t("providers.name_hint"));
    const deed = async (): Promise<void> => {
      const made = await makeAccount(newcomer, away!, usernameOf(name.input.value));
      await page.proven(goal, null, made.login_token);
    };
    const hello = newcomer.displayname ? t("providers.hello", { name: newcomer.displayname }) : t("providers.hello_you");
    const lead = t("providers.new_lead", { provider: newcomer.provider });
    page.show(
      h("h1", { text: hello }),
      h("p", { class: "lead", text: lead }),
      page.form(t("providers.create"), deed, name.row),
      quiet(t("providers.have_one"), () => asKnown(newcomer)),
    );
  }

  function asKnown(newcomer: Newcomer): void {
    const user = userField(page.node);
    const secret = { type: "password", name: "password", autocomplete: "current-password", maxlength: 512, required: true };
    const password = field(t("welcome.password"), secret);
    const known = async (proof: Known): Promise<void> => {
      const linked = await makeKnown(newcomer, away!, proof);
      await page.proven(goal, null, linked.login_token);
    };
    const deed = (): Promise<void> => known({ user: user.input.value.trim(), password: password.input.value });
    const passkey = h("div", { class: "by-passkey" });
    const lead = t("providers.link_lead", { provider: newcomer.provider });
    const back = newcomer.registration && quiet(t("providers.have_none"), () => asNewcomer(newcomer));
    page.show(
      h("h1", { text: t("providers.link_title") }),
      h("p", { class: "lead", text: lead }),
      page.form(t("providers.link"), deed, user.row, password.row),
      passkey,
      back || null,
    );
    void passkeyDoor(passkey, page.node, { enter: (shown: Shown) => known(shown), forgotten: null });
  }

  if (arrived.registration) asNewcomer(arrived);
  else asKnown(arrived);
}
