// What stands below a body that not everybody may wear: that other nodes want a licence, and the ways to one.
import { setLicence, type Uploaded } from "../api/avatars";
import type { Session } from "../api/session";
import { loadMore, t } from "../i18n";
import { readJson } from "../identity/canonical";
import { IdentityError } from "../identity/errors";
import { holderOf } from "../present/holder";
import { signLicence, termsOf } from "../present/licence";
import { busy, freshId, h, say } from "./dom";
import { words } from "./errors";
import { icon } from "./icons";
import { notice } from "./shell";

const MOST_BYTES = 64 * 1024;

/** Why there is no licence yet, in words. */
class LicenceError extends Error {
  override name = "LicenceError";
}

/** `changed` is called when other nodes judge the body differently from now on. */
export async function licencePart(body: Uploaded, session: Session, changed: () => Promise<void>): Promise<HTMLElement> {
  await loadMore("bodies");
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const doing = (button: HTMLButtonElement, deed: () => Promise<void>): void => {
    say(wrong, null);
    void busy(button, async () => {
      try {
        await deed();
        await changed();
      } catch (error) {
        say(wrong, error instanceof LicenceError ? error.message : words(error));
      }
    });
  };
  const lead = h("p", { class: "hint", text: t(body.licensed ? "licence.there" : "licence.needed") });
  const ways = body.licensed ? [takeBack(body, session, doing)] : [sign(body, session, doing), bring(body, session, doing)];
  return h("div", { class: "licence" }, lead, ...ways, wrong);
}

type Doing = (button: HTMLButtonElement, deed: () => Promise<void>) => void;

function sign({ sha256, report }: Uploaded, session: Session, doing: Doing): HTMLElement {
  const aboutId = freshId("licence");
  const button = h("button", { class: "secondary", text: t("licence.sign"), attrs: { type: "button", "aria-describedby": aboutId } });
  button.addEventListener("click", () =>
    doing(button, async () => {
      const holder = await holderOf(session);
      if (holder === "no_key" || holder === "no_identity") throw new LicenceError(t(`licence.${holder}`));
      if (typeof holder === "string") throw new LicenceError(t("licence.other"));
      await setLicence(sha256, await signLicence(holder, sha256, termsOf(report.licence), Date.now()), session);
      notice(t("licence.signed"));
    }),
  );
  return h("div", {}, button, h("p", { class: "hint", text: t("licence.sign_about"), attrs: { id: aboutId } }));
}

function bring({ sha256 }: Uploaded, session: Session, doing: Doing): HTMLElement {
  const input = h("input", { attrs: { type: "file", accept: ".json,.jsonld,application/json", hidden: true } });
  const button = h("button", { class: "quiet", attrs: { type: "button" } }, icon("upload"), t("licence.bring"));
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    input.value = "";
    if (!file) return;
    doing(button, async () => {
      await setLicence(sha256, await readLicence(file), session);
      notice(t("licence.brought"));
    });
  });
  return h("div", {}, button, input);
}

/** A licence as its author gave it; the node judges what it is worth. */
async function readLicence(file: File): Promise<unknown> {
  if (file.size > MOST_BYTES) throw new LicenceError(t("licence.large"));
  try {
    return readJson(await file.text());
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error;
    throw new LicenceError(t("licence.unreadable"), { cause: error });
  }
}

function takeBack({ sha256 }: Uploaded, session: Session, doing: Doing): HTMLElement {
  const button = h("button", { class: "quiet", text: t("licence.take_back"), attrs: { type: "button" } });
  button.addEventListener("click", () =>
    doing(button, async () => {
      await setLicence(sha256, null, session);
      notice(t("licence.gone"));
    }),
  );
  return button;
}
