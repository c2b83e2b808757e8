// The other parts of an account: the profile, the password, the keys of encryption, and the end.
import { addresses, displayName, endAccount, setDisplayName, setPassword } from "../../api/account";
import type { Session } from "../../api/session";
import { t } from "../../i18n";
import { type Membership, membershipOf } from "../../membership";
import { busy, field, freshId, h, say } from "../dom";
import { words } from "../errors";
import { attempt, form, prove } from "../proof";
import { button, part, type Part } from "./part";

/** What others see of somebody, and by which addresses the node knows them. */
export function profilePart(session: Session, look: () => void, named: (name: string) => void): Part {
  return part(session, t("account.profile"), t("account.profile_lead"), async ({ list }) => {
    const [name, mails] = await Promise.all([displayName(session), addresses(session)]);
    const given = field(t("account.name"), { name: "name", autocomplete: "nickname", maxlength: 64, required: true, value: name });
    const save = h("button", { class: "secondary", text: t("account.save"), attrs: { type: "submit" } });
    const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
    const element = h("form", { class: "form" }, given.row, wrong, h("div", { class: "row" }, save, button("quiet", t("hud.look"), look)));
    element.addEventListener("submit", (event) => {
      event.preventDefault();
      const chosen = given.input.value.trim();
      void busy(save, async () => {
        try {
          await setDisplayName(session, chosen);
          named(chosen);
          await list(t("account.named", { name: chosen }));
        } catch (error) {
          say(wrong, words(error));
        }
      });
    });
    const pairs: [string, string][] = [[t("account.address"), session.userId]];
    if (mails.length > 0) pairs.push([t("account.mails"), mails.join(", ")]);
    const known = pairs.flatMap(([title, value]) => [h("dt", { text: title }), h("dd", { text: value })]);
    return [h("dl", { class: "device" }, ...known), element];
  });
}

/** A new password in place of the old one, or beside another way in. */
export function passwordPart(session: Session): Part {
  return part(session, t("account.password"), t("account.password_lead"), async (place) => {
    const begin = button("secondary", t("account.password_new"), () => {
      const secret = { type: "password", name: "password", autocomplete: "new-password", minlength: 8, maxlength: 512 };
      const password = field(t("welcome.password_new"), { ...secret, required: true }, t("welcome.password_hint"));
      const id = freshId("others");
      const others = h("input", { attrs: { type: "checkbox", id } });
      const choice = h("div", { class: "choice" }, others, h("label", { text: t("account.password_others"), attrs: { for: id } }));
      const deed = (): Promise<void> => {
        // What is confirmed is this request, and no other.
        const [chosen, alone] = [password.input.value, others.checked];
        return attempt(place, {
          title: t("account.password_new"),
          lead: t("account.prove"),
          button: t("account.password_set"),
          run: (auth) => setPassword(session, chosen, alone, auth),
          done: t("account.password_done"),
        });
      };
      // For the browser's own list of passwords.
      const user = h("input", { attrs: { autocomplete: "username", value: session.userId, hidden: true } });
      form(place, t("account.password_new"), null, [user, password.row, choice], { text: t("passkey.go_on"), deed });
      password.input.focus();
    });
    return [begin];
  });
}

/** The keys by which friends and devices know somebody, and making new ones where all are lost. */
export function keysPart(session: Session): Part {
  return part(session, t("account.keys"), t("account.keys_lead"), async ({ status }) => {
    const opened = membershipOf(session);
    if (!opened) return [h("p", { class: "hint", text: t("create.encrypt_not") })];
    const withKeys = (deed: (membership: Membership) => Promise<void>) => async (): Promise<void> => {
      try {
        await deed(await opened);
      } catch (error) {
        console.warn("the keys cannot be opened", error);
        say(status, t("account.keys_closed"));
      }
    };
    const show = withKeys(({ messages, parts }) => parts.devicesDialog(messages));
    const anew = withKeys(({ messages, parts }) => parts.resetDialog(messages));
    return [
      h("div", { class: "row" }, button("secondary", t("account.keys_show"), show)),
      h("h3", { text: t("account.reset") }),
      h("p", { class: "hint", text: t("account.reset_lead") }),
      button("secondary", t("account.reset_do"), anew),
    ];
  });
}

/** Ending the account, which is said before it is done. */
export function endPart(session: Session, ended: () => void): Part {
  return part(session, t("account.end"), t("account.end_lead"), async (place) => {
    const id = freshId("erase");
    const about = freshId("erasing");
    const erase = h("input", { attrs: { type: "checkbox", id, "aria-describedby": about } });
    const choice = h("div", { class: "choice" }, erase, h("label", { text: t("account.erase"), attrs: { for: id } }));
    const hint = h("p", { class: "hint", text: t("account.erase_lead"), attrs: { id: about } });
    const deed = {
      title: t("account.end_sure", { user: session.userId }),
      lead: t("account.prove"),
      button: t("account.end_do"),
      run: async (auth: object): Promise<void> => {
        await endAccount(session, wanted, auth);
        ended();
      },
      done: "",
    };
    const end = h("button", { class: "secondary danger", text: t("account.end_do"), attrs: { type: "button" } });
    // What is confirmed is this wish, and no other.
    let wanted = false;
    end.addEventListener("click", () => {
      wanted = erase.checked;
      prove(place, deed, end);
    });
    return [choice, hint, end];
  });
}
