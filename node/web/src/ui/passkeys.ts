// The passkeys of whoever is signed in: adding, renaming and removing them.
import { addPasskey, type Passkey, passkeys, removePasskey, renamePasskey } from "../api/passkeys";
import { browserName, type Session } from "../api/session";
import { loadMore, locale, t } from "../i18n";
import { field, h, say } from "./dom";
import { icon } from "./icons";
import { passkeyWords } from "./passkey";
import { type Deed, form, type Place, prove } from "./proof";

/** A part of the settings, which fills itself. */
export async function passkeysPart(element: HTMLElement, session: Session): Promise<void> {
  await loadMore("passkeys");
  const status = h("p", { class: "hint", attrs: { role: "status" } });
  const inside = h("div", { class: "passkeys" });
  element.replaceChildren(
    h("fieldset", {}, h("legend", { text: t("passkey.title") }), h("p", { class: "hint", text: t("passkey.lead") }), inside, status),
  );
  const place: Place = { session, inside, status, list };
  await list("");

  async function list(said: string): Promise<void> {
    say(status, said);
    try {
      const known = await passkeys(session);
      const rows = known.map((one) => row(one));
      const add = h("button", { class: "secondary", attrs: { type: "button" } }, icon("plus"), t("passkey.add"));
      add.addEventListener("click", () => prove(place, adding(), add));
      const none = known.length === 0 && h("p", { class: "hint", text: t("passkey.none") });
      inside.replaceChildren(none || h("ul", { class: "passkey-list" }, ...rows), add);
    } catch (error) {
      const again = h("button", { class: "secondary", text: t("passkey.again"), attrs: { type: "button" } });
      again.addEventListener("click", () => void list(""));
      inside.replaceChildren(h("p", { class: "wrong", text: passkeyWords(error), attrs: { role: "alert" } }), again);
    }
  }

  function row(one: Passkey): HTMLElement {
    const rename = h("button", { class: "round", attrs: { type: "button", "aria-label": t("passkey.rename_one", { name: one.name }) } }, icon("pen"));
    rename.addEventListener("click", () => name(one));
    const remove = h("button", { class: "round", attrs: { type: "button", "aria-label": t("passkey.remove_one", { name: one.name }) } }, icon("close"));
    remove.addEventListener("click", () => prove(place, removing(one), remove));
    const used = one.used_ms === null ? t("passkey.unused") : t("passkey.used", { when: day(one.used_ms) });
    const times = [used, t("passkey.made", { when: day(one.created_ms) })].map((text) => h("span", { text }));
    return h("li", {}, h("div", {}, h("strong", { text: one.name }), h("p", { class: "hint" }, ...times)), rename, remove);
  }

  const adding = (): Deed => ({
    title: t("passkey.add"),
    lead: t("passkey.add_lead"),
    button: t("passkey.go_on"),
    run: (auth) => addPasskey(session, browserName(), auth),
    done: t("passkey.added"),
  });

  const removing = (one: Passkey): Deed => ({
    title: t("passkey.remove_one", { name: one.name }),
    lead: t("passkey.remove_lead"),
    button: t("passkey.remove"),
    run: (auth) => removePasskey(session, one.id, auth),
    done: t("passkey.removed", { name: one.name }),
  });

  function name(one: Passkey): void {
    const given = field(t("passkey.name"), { name: "passkey-name", autocomplete: "off", maxlength: 100, required: true, value: one.name });
    const save = async (): Promise<void> => {
      await renamePasskey(session, one.id, given.input.value.trim());
      await list(t("passkey.renamed"));
    };
    form(place, t("passkey.rename_one", { name: one.name }), null, [given.row], { text: t("passkey.save"), deed: save });
    given.input.select();
  }
}

function day(ms: number): string {
  return new Intl.DateTimeFormat(locale(), { dateStyle: "medium" }).format(ms);
}
