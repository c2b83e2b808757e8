// The accounts and identities elsewhere by which whoever is signed in comes in here too: adding and ending links.
import { ApiError } from "../api/http";
import { addIdentity, addLink, type Link, links, removeLink } from "../api/links";
import type { NodeInfo, Provider } from "../api/node";
import type { Session } from "../api/session";
import { loadMore, locale, t } from "../i18n";
import { newSecret } from "../sign-in/away";
import { homeField, homeWords } from "../sign-in/home";
import { shortDid } from "./did";
import { h, say } from "./dom";
import { icon } from "./icons";
import { passkeyWords } from "./passkey";
import { attempt, type Deed, form, type Place, prove } from "./proof";

/** A part of the settings, which fills itself. */
export async function linksPart(element: HTMLElement, session: Session, node: NodeInfo): Promise<void> {
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
      const all = known.length > 0 ? [h("ul", { class: "passkey-list" }, ...known.map(row))] : none();
      inside.replaceChildren(...all, ...node.providers.map(door), ...(node.dids ? [identityDoor()] : []));
    } catch (error) {
      const again = h("button", { class: "secondary", text: t("passkey.again"), attrs: { type: "button" } });
      again.addEventListener("click", () => void list(""));
      inside.replaceChildren(h("p", { class: "wrong", text: passkeyWords(error), attrs: { role: "alert" } }), again);
    }
  }

  function none(): HTMLElement[] {
    const names = node.providers.map(({ name }) => name).join(", ");
    const texts = [
      ...(names === "" ? [] : [t("links.none", { names })]),
      ...(node.dids ? [t(names === "" ? "links.none_identity" : "links.none_identity_too")] : []),
    ];
    return texts.map((text) => h("p", { class: "hint", text }));
  }

  function row(link: Link): HTMLElement {
    const name = nameOf(link);
    const remove = h("button", { class: "round", attrs: { type: "button", "aria-label": t("links.remove_one", { name }) } }, icon("close"));
    remove.addEventListener("click", () => prove(place, removing(link, name), remove));
    const which = link.did === undefined || name === shortDid(link.did) ? [] : [shortDid(link.did)];
    const hints = [t("links.since", { when: day(link.linked_ms) }), ...which, ...(link.provider === null ? [t("links.unknown")] : [])];
    const hint = h("p", { class: "hint" }, ...hints.map((text) => h("span", { text })));
    return h("li", {}, h("div", {}, h("strong", { text: name }), hint), remove);
  }

  function door({ id, name }: Provider): HTMLElement {
    const add = h("button", { class: "secondary", attrs: { type: "button" } }, icon("plus"), t("links.add", { name }));
    add.addEventListener("click", () => prove(place, adding(id, name), add));
    return add;
  }

  /** An identity is at home somewhere: where, nobody knows but its person. */
  function identityDoor(): HTMLElement {
    const add = h("button", { class: "secondary", attrs: { type: "button" } }, icon("plus"), t("links.identity_add"));
    add.addEventListener("click", () => {
      const home = homeField();
      const deed = (): Promise<void> => attempt(place, addingIdentity(home.input.value.trim()));
      form(place, t("links.identity_add"), t("links.identity_lead"), [home.row], { text: t("passkey.go_on"), deed });
      home.input.focus();
    });
    return add;
  }

  function addingIdentity(home: string): Deed {
    const browser = newSecret();
    const run = async (auth: object): Promise<void> => {
      try {
        await addIdentity(session, home, browser, auth);
      } catch (error) {
        // What a node says of homes has words of its own; that it asks for a proof is no trouble.
        if (!(error instanceof ApiError) || ![400, 404, 502, 504].includes(error.status)) throw error;
        throw new ApiError(400, "M_INVALID_PARAM", homeWords(error, home, node), null, {});
      }
    };
    return {
      title: t("links.identity_add"),
      lead: t("links.add_lead", { name: home }),
      button: t("passkey.go_on"),
      run,
      done: t("links.going", { name: home }),
    };
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

/** What a link is called: by the node, or else by what it stands for. */
function nameOf({ name, did, issuer }: Link): string {
  if (name !== null) return name;
  return did === undefined ? new URL(issuer).host : shortDid(did);
}

function day(ms: number): string {
  return new Intl.DateTimeFormat(locale(), { dateStyle: "medium" }).format(ms);
}
