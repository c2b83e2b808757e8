// The passkeys of whoever is signed in: adding, renaming and removing them.
import { ApiError } from "../api/http";
import { addPasskey, confirmByPasskey, type Passkey, passkeyProof, passkeys, removePasskey, renamePasskey } from "../api/passkeys";
import { browserName, passwordProof, type Session } from "../api/session";
import { loadMore, locale, t } from "../i18n";
import { busy, field, h, say } from "./dom";
import { icon } from "./icons";
import { passkeyWords } from "./passkey";

/** Something that is done once its doer has shown who they are. */
interface Deed {
  title: string;
  lead: string;
  button: string;
  run(auth: object): Promise<unknown>;
  /** What is said when it was done. */
  done: string;
}

/** A part of the settings, which fills itself. */
export async function passkeysPart(place: HTMLElement, session: Session): Promise<void> {
  await loadMore("passkeys");
  const status = h("p", { class: "hint", attrs: { role: "status" } });
  const inside = h("div", { class: "passkeys" });
  place.replaceChildren(
    h("fieldset", {}, h("legend", { text: t("passkey.title") }), h("p", { class: "hint", text: t("passkey.lead") }), inside, status),
  );
  await list("");

  async function list(said: string): Promise<void> {
    say(status, said);
    try {
      const known = await passkeys(session);
      const rows = known.map((one) => row(one));
      const add = h("button", { class: "secondary", attrs: { type: "button" } }, icon("plus"), t("passkey.add"));
      add.addEventListener("click", () => prove(adding(), add));
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
    remove.addEventListener("click", () => prove(removing(one), remove));
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
    ask(t("passkey.rename_one", { name: one.name }), null, t("passkey.save"), [given.row], async () => {
      await renamePasskey(session, one.id, given.input.value.trim());
      await list(t("passkey.renamed"));
    });
    given.input.select();
  }

  /** Learns from the node which proofs it takes, and asks for one of them. */
  function prove(deed: Deed, button: HTMLButtonElement): void {
    say(status, null);
    void busy(button, async () => {
      try {
        await deed.run({});
        await list(deed.done);
      } catch (error) {
        if (error instanceof ApiError && error.status === 401 && error.body.flows) confirm(deed, error);
        else say(status, passkeyWords(error));
      }
    });
  }

  function confirm(deed: Deed, refusal: ApiError): void {
    const flows = refusal.body.flows as { stages: string[] }[];
    const takes = (stage: string): boolean => flows.some(({ stages }) => stages.length === 1 && stages[0] === stage);
    const secret = { type: "password", name: "password", autocomplete: "current-password", maxlength: 512, required: true };
    const password = field(t("welcome.password"), secret);
    // For the browser's own list of passwords.
    const user = h("input", { attrs: { autocomplete: "username", value: session.userId, hidden: true } });
    const byPassword = async (): Promise<void> => {
      await deed.run(passwordProof(session.userId, password.input.value, refusal));
      await list(deed.done);
    };
    const byPasskey = async (): Promise<void> => {
      await deed.run(passkeyProof(await confirmByPasskey(session), refusal));
      await list(deed.done);
    };
    const rows = takes("m.login.password") ? [user, password.row] : [];
    const other = takes("org.wayside.passkey") ? byPasskey : null;
    ask(deed.title, deed.lead, rows.length > 0 ? deed.button : null, rows, byPassword, other);
    if (rows.length > 0) password.input.focus();
  }

  /** A form in place of the list, with the way back to it. */
  function ask(
    title: string,
    lead: string | null,
    button: string | null,
    rows: Node[],
    deed: () => Promise<void>,
    byPasskey: (() => Promise<void>) | null = null,
  ): void {
    const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
    const does = (button: HTMLButtonElement, what: () => Promise<void>): void => {
      say(wrong, null);
      void busy(button, () => what().catch((error: unknown) => {
        say(wrong, refused(error));
        wrong.scrollIntoView({ block: "nearest" });
      }));
    };
    const go = button !== null && h("button", { class: "primary", text: button, attrs: { type: "submit" } });
    const key = byPasskey && h("button", { class: "secondary", attrs: { type: "button" } }, icon("key"), t("passkey.use"));
    key?.addEventListener("click", () => byPasskey && does(key, byPasskey));
    const back = h("button", { class: "quiet", text: t("passkey.back"), attrs: { type: "button" } });
    back.addEventListener("click", () => void list(""));
    const form = h("form", { class: "form" }, h("h3", { text: title }), lead !== null && h("p", { class: "hint", text: lead }), ...rows, wrong, go, key, back);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (go) does(go, deed);
    });
    inside.replaceChildren(form);
  }
}

/** A proof that was refused is one that was wrong, and not a session that is over. */
function refused(error: unknown): string {
  if (error instanceof ApiError && error.status === 401 && error.body.flows) return t("passkey.unproven");
  return passkeyWords(error);
}

function day(ms: number): string {
  return new Intl.DateTimeFormat(locale(), { dateStyle: "medium" }).format(ms);
}
