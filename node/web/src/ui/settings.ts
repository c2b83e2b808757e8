// The dialogs of settings, and of keeping a guest's account.
import { hasPasskeys, type NodeInfo, takesLinks } from "../api/node";
import { invitationOf, keep, type Session } from "../api/session";
import { currentLanguage, isKey, LANGUAGES, loadTexts, t } from "../i18n";
import { change, settings, type Settings } from "../settings";
import { busy, field, freshId, h, say } from "./dom";
import { words } from "./errors";
import { closeDialog, notice, openDialog } from "./shell";

/** Whose settings they are. */
export interface Owner {
  node: NodeInfo;
  session: Session;
}

export function settingsDialog(owner: Owner, languageChanged: () => void, closed: () => void = () => {}): void {
  const language = select(
    t("settings.language"),
    Object.entries(LANGUAGES),
    currentLanguage(),
    (value) => {
      change({ language: value });
      void loadTexts().then(() => {
        closeDialog();
        languageChanged();
      });
    },
  );
  const done = h("button", { class: "primary", text: t("settings.close"), attrs: { type: "button" } });
  done.addEventListener("click", closeDialog);
  openDialog(
    t("settings.title"),
    [
      choice("quality", "settings.quality", ["auto", "low", "medium", "high"], t("settings.quality_hint")),
      choice("names", "settings.names", ["always", "near", "never"]),
      choice("textSize", "settings.text", ["small", "normal", "large", "huge"]),
      language,
      matrixLinks(),
      passkeysOf(owner),
      linksOf(owner),
      accountOf(owner),
      done,
    ],
    { closed },
  );
}

/** Links to worlds in other programs, where browsers let a page open them. */
function matrixLinks(): HTMLElement {
  const place = h("div", { class: "settings-part" });
  void import("./matrix-links").then(({ matrixLinksPart }) => matrixLinksPart(place)).catch(console.warn);
  return place;
}

/** The way to the page on which members look after their account. */
function accountOf({ session }: Owner): HTMLElement {
  if (session.guest) return h("div", { class: "settings-part" });
  return h("a", { class: "secondary", text: t("settings.account"), attrs: { href: "/account" } });
}

/** The part of a member's settings that holds their passkeys, where there are such. */
function passkeysOf({ node, session }: Owner): HTMLElement {
  const place = h("div", { class: "settings-part" });
  if (session.guest || !hasPasskeys(node)) return place;
  void import("./passkeys").then(({ passkeysPart }) => passkeysPart(place, session)).catch(console.warn);
  return place;
}

/** The part that holds the accounts elsewhere by which a member comes in, where the node takes such. */
function linksOf({ node, session }: Owner): HTMLElement {
  const place = h("div", { class: "settings-part" });
  if (session.guest || !takesLinks(node)) return place;
  void import("./links").then(({ linksPart }) => linksPart(place, session, node)).catch(console.warn);
  return place;
}

type Choice = "quality" | "names" | "textSize";

function choice<K extends Choice>(
  key: K,
  name: string,
  values: readonly Settings[K][],
  hint = "",
): HTMLElement {
  const group = freshId(key);
  const options = values.map((value) => {
    const text = `${name}.${value}`;
    const input = h("input", {
      attrs: { type: "radio", name: group, value, checked: settings()[key] === value },
    });
    input.addEventListener("change", () => change({ [key]: value }));
    return h("label", { class: "option" }, input, h("span", { text: isKey(text) ? t(text) : value }));
  });
  return h(
    "fieldset",
    {},
    h("legend", { text: isKey(name) ? t(name) : name }),
    h("div", { class: "options" }, ...options),
    hint !== "" && h("p", { class: "hint", text: hint }),
  );
}

function select(
  label: string,
  options: [string, string][],
  current: string,
  changed: (value: string) => void,
): HTMLElement {
  const id = freshId("select");
  const element = h(
    "select",
    { attrs: { id } },
    ...options.map(([value, text]) =>
      h("option", { text, attrs: { value, selected: value === current } }),
    ),
  );
  element.addEventListener("change", () => changed(element.value));
  return h("div", { class: "field" }, h("label", { text: label, attrs: { for: id } }), element);
}

/** Makes a guest a member, without leaving where they are. */
export function keepDialog(
  node: NodeInfo,
  session: Session,
  kept: (session: Session) => void,
  closed: () => void = () => {},
): void {
  const password = field(
    t("keep.password"),
    { type: "password", autocomplete: "new-password", minlength: 8, maxlength: 512, required: true },
    t("welcome.password_hint"),
  );
  const invitation =
    node.registration === "open"
      ? null
      : field(
          t("keep.invitation"),
          { type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false", required: true },
          t("keep.invitation_hint"),
        );
  // For the browser's own list of passwords.
  const user = h("input", { attrs: { autocomplete: "username", value: session.userId, hidden: true } });
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const go = h("button", { class: "primary", text: t("keep.do"), attrs: { type: "submit" } });
  const later = h("button", { class: "quiet", text: t("keep.later"), attrs: { type: "button" } });
  later.addEventListener("click", closeDialog);
  const form = h(
    "form",
    { class: "form" },
    user,
    password.row,
    invitation?.row ?? null,
    wrong,
    go,
    later,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    say(wrong, null);
    void busy(go, async () => {
      try {
        const shown = invitation ? invitationOf(invitation.input.value) : null;
        const member = await keep(session, password.input.value, shown);
        closeDialog();
        notice(t("keep.done", { user: session.userId }));
        kept(member);
      } catch (error) {
        say(wrong, words(error));
      }
    });
  });
  const lead = h("p", { class: "lead", text: t("keep.lead", { user: session.userId }) });
  openDialog(t("keep.title"), [lead, form], { closed });
}
