// The accounts elsewhere by which whoever is signed in comes in here too: adding and ending links.
import { addLink, type Link, links, removeLink } from "../api/links";
import type { Provider } from "../api/node";
import type { Session } from "../api/session";
import { loadMore, locale, t } from "../i18n";
import { newSecret } from "../sign-in/away";
import { h, say } from "./dom";
import { icon } from "./icons";
import { passkeyWords } from "./passkey";
import { type Deed, type Place, prove } from "./proof";

/** A part of the settings, which fills itself. */
export async function linksPart(element: HTMLElement, session: Session, providers: Provider[]): Promise<void> {
  await loadMore("passkeys");
  const status = h("p", { class: "hint", attrs: { role: "status" } });
  const inside = h("div", { class: "links" });
  const lead = h("p", { class: "hint", text: t("links.lead") });
  element.replaceChildren(h("fieldset", {}, h("legend", { text: t("links.title") }), lead, inside, status));
  const place: Place = { session, inside, status, list };
  await list("");

  async function list(said: string): Promise<void> {
    say(status, said);
    try {
      const known = await links(session);
      const names = providers.map(({ name }) => name).join(", ");
      const none = known.length === 0 && h("p", { class: "hint", text: t("links.none", { names }) });
      inside.replaceChildren(none || h("ul", { class: "passkey-list" }, ...known.map(row)), ...providers.map(door));
    } catch (error) {
      const again = h("button", { class: "secondary", text: t("passkey.again"), attrs: { type: "button" } });
      again.addEventListener("click", () => void list(""));
      inside.replaceChildren(h("p", { class: "wrong", text: passkeyWords(error), attrs: { role: "alert" } }), again);
    }
  }

  function row(link: Link): HTMLElement {
    const name = link.name ?? new URL(link.issuer).host;
    const remove = h("button", { class: "round", attrs: { type: "button", "aria-label": t("links.remove_one", { name }) } }, icon("close"));
    remove.addEventListener("click", () => prove(place, removing(link, name), remove));
    const hints = [t("links.since", { when: day(link.linked_ms) }), ...(link.provider === null ? [t("links.unknown")] : [])];
    const hint = h("p", { class: "hint" }, ...hints.map((text) => h("span", { text })));
    return h("li", {}, h("div", {}, h("strong", { text: name }), hint), remove);
  }

  function door({ id, name }: Provider): HTMLElement {
    const add = h("button", { class: "secondary", attrs: { type: "button" } }, icon("plus"), t("links.add", { name }));
    add.addEventListener("click", () => prove(place, adding(id, name), add));
    return add;
  }

  function adding(provider: string, name: string): Deed {
    // One for the whole deed: what is confirmed is this request, and no other.
    const browser = newSecret();
    return {
      title: t("links.add", { name }),
      lead: t("links.add_lead", { name }),
      button: t("passkey.go_on"),
      run: (auth) => addLink(session, provider, browser, auth),
      done: t("links.going", { name }),
    };
  }

  const removing = (link: Link, name: string): Deed => ({
    title: t("links.remove_one", { name }),
    lead: t("links.remove_lead", { name }),
    button: t("links.remove"),
    run: (auth) => removeLink(session, link.id, auth),
    done: t("links.removed", { name }),
  });
}

function day(ms: number): string {
  return new Intl.DateTimeFormat(locale(), { dateStyle: "medium" }).format(ms);
}
