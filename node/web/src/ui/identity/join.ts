// Making this browser a device of somebody: by what opens the vault, or by what they saved.
import { stopWaiting } from "../../api/passkeys";
import type { Session } from "../../api/session";
import type { Bytes } from "../../identity/bytes";
import { askPasskey } from "../../identity/prf";
import { type Lock, passkeyLocks } from "../../identity/vault";
import { t } from "../../i18n";
import type { Device, OwnIdentity } from "../../person";
import { field, freshId, h } from "../dom";
import { icon } from "../icons";
import { lockStep } from "./lock";
import { attempt, form, hint, lead, opening, quiet, steps, type Steps } from "./steps";
import { dayOf, endOf } from "./written";

/** What a dialog knows of whoever comes back. */
interface Coming {
  dialog: Steps;
  own: OwnIdentity;
  session: Session;
  /** The devices of which those stay that the person chooses. */
  devices: readonly Device[];
  /** Shows the first step. */
  first: () => void;
}

export function joinDialog(own: OwnIdentity, session: Session, devices: readonly Device[], closed: () => void): Promise<void> {
  return opening(async () => {
    const locks = await own.locks();
    const coming: Coming = { dialog: steps(closed), own, session, devices, first: () => firstStep(coming, locks) };
    coming.first();
  });
}

/** Takes an identity back whose keys may be in wrong hands. */
export function takeBackDialog(own: OwnIdentity, session: Session, devices: readonly Device[], closed: () => void): void {
  const coming: Coming = { dialog: steps(closed), own, session, devices, first: () => show() };
  const show = (): void => coming.dialog.show(t("identity.take_back"), lead(t("identity.take_back_lead")), savedWays(coming));
  show();
}

function firstStep(coming: Coming, locks: readonly Lock[]): void {
  const { dialog, own } = coming;
  const keys = passkeyLocks(locks);
  const above: Node[] = [];
  if (locks.length > keys.length) above.push(byPassphrase(coming));
  if (keys.length > 0) {
    const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
    const look = above.length > 0 ? "secondary" : "primary";
    const use = h("button", { class: look, attrs: { type: "button" } }, icon("key"), t("identity.join_passkey"));
    const deed = async (): Promise<void> => {
      stopWaiting();
      await own.join(await askPasskey(keys));
      dialog.done(t("identity.joined"));
    };
    use.addEventListener("click", () => attempt(use, wrong, deed));
    above.push(use, wrong);
  }
  const between = above.length > 0 ? h("p", { class: "hint", text: t("identity.join_other") }) : lead(t("identity.join_none"));
  dialog.show(t("identity.join_title"), ...above, between, savedWays(coming));
}

function byPassphrase({ dialog, own }: Coming): HTMLElement {
  const attrs = { type: "password", name: "passphrase", autocomplete: "off", maxlength: 1_024, required: true };
  const passphrase = field(t("identity.passphrase"), attrs);
  return form([lead(t("identity.join_passphrase_lead")), passphrase.row], t("identity.join_do"), async () => {
    await own.join({ kind: "passphrase", passphrase: passphrase.input.value });
    dialog.done(t("identity.joined"));
  });
}

/** The ways by what somebody saved. */
function savedWays(coming: Coming): HTMLElement {
  return h(
    "div",
    { class: "identity-ways" },
    quiet(t("identity.join_words"), () => wordsStep(coming), "secondary"),
    quiet(t("identity.join_file"), () => fileStep(coming), "secondary"),
    quiet(t("identity.join_shares"), () => sharesStep(coming), "secondary"),
  );
}

const backTo = ({ first }: Coming): Node[] => [quiet(t("identity.back"), first)];

function wordsStep(coming: Coming): void {
  const { row, read } = wordsField();
  const go = form([row], t("identity.join_do"), async () => stayStep(coming, await read()), backTo(coming));
  coming.dialog.show(t("identity.words_title"), go);
}

/** A field for twelve words, and what they stand for. */
export function wordsField(): { row: HTMLElement; read: () => Promise<Bytes> } {
  const [id, hintId] = [freshId("words"), freshId("words-hint")];
  const attrs = { id, name: "words", rows: 3, required: true, autocomplete: "off", autocapitalize: "none", spellcheck: "false", "aria-describedby": hintId, maxlength: 2_000 };
  const input = h("textarea", { class: "words-typed", attrs });
  const row = h(
    "div",
    { class: "field" },
    h("label", { text: t("identity.words"), attrs: { for: id } }),
    input,
    h("p", { class: "hint", text: t("identity.words_hint"), attrs: { id: hintId } }),
  );
  const read = async (): Promise<Bytes> => {
    const { readWords } = await import("../../identity/words");
    return readWords(input.value);
  };
  return { row, read };
}

function fileStep(coming: Coming): void {
  const given = field(t("identity.words_file"), { type: "file", name: "file", accept: ".json,application/json", required: true });
  const deed = async (): Promise<void> => {
    const file = given.input.files?.[0];
    if (!file) return;
    const { readRecoveryFile } = await import("../../identity/recovery");
    await stayStep(coming, (await readRecoveryFile(await file.text())).recovery.entropy);
  };
  const go = form([lead(t("identity.words_file_lead")), given.row], t("identity.join_do"), deed, backTo(coming));
  coming.dialog.show(t("identity.words_file"), go);
}

/** Takes one share after the other, until there are enough. */
function sharesStep(coming: Coming): void {
  const [id, hintId] = [freshId("share"), freshId("share-hint")];
  const attrs = { id, name: "share", rows: 3, required: true, autocomplete: "off", autocapitalize: "characters", spellcheck: "false", "aria-describedby": hintId, maxlength: 400 };
  const input = h("textarea", { class: "words-typed", attrs });
  const row = h(
    "div",
    { class: "field" },
    h("label", { text: t("identity.share"), attrs: { for: id } }),
    input,
    h("p", { class: "hint", text: t("identity.share_hint"), attrs: { id: hintId } }),
  );
  const have = h("ul", { class: "share-list", attrs: { "aria-live": "polite" } });
  const known: string[] = [];
  const deed = async (): Promise<void> => {
    const { combineShares, readShare } = await import("../../identity/shares");
    const shares = await Promise.all([...known, input.value].map(readShare));
    const newest = shares.at(-1);
    const missing = (newest?.needed ?? 0) - new Set(shares.map(({ index }) => index)).size;
    if (missing > 0 && shares.every(({ set }) => set === newest?.set)) {
      known.push(input.value);
      input.value = "";
      const names = [...new Set(shares.map(({ index }) => index))].map((index) => h("li", { text: t("identity.share_have", { index }) }));
      const left = missing === 1 ? t("identity.shares_left_one") : t("identity.shares_left", { count: missing });
      have.replaceChildren(...names, h("li", { class: "hint", text: left }));
      input.focus();
      return;
    }
    await stayStep(coming, await combineShares(shares));
  };
  const go = form([lead(t("identity.shares_lead")), have, row], t("identity.share_add"), deed, backTo(coming));
  coming.dialog.show(t("identity.shares_title"), go);
}

/** Asks which of the other devices stay, and brings the person back. */
async function stayStep(coming: Coming, entropy: Bytes): Promise<void> {
  const { dialog, own, session, devices } = coming;
  await own.mustOpen(entropy);
  const others = devices.filter(({ isThis }) => !isThis);
  const choices = others.map((device) => {
    const id = freshId("stay");
    const input = h("input", { attrs: { type: "checkbox", id, name: "stay", value: device.key } });
    const text = t("identity.stay_device", { end: endOf(device.key), when: dayOf(device.sinceMs) });
    return { input, key: device.key, row: h("div", { class: "choice" }, input, h("label", { text, attrs: { for: id } })) };
  });
  const rows = [
    lead(t(others.length > 0 ? "identity.stay_lead" : "identity.stay_alone")),
    ...choices.map(({ row }) => row),
    hint(t("identity.stay_locks")),
  ];
  const deed = async (): Promise<void> => {
    await own.recover(entropy, choices.filter(({ input }) => input.checked).map(({ key }) => key));
    lockStep(dialog, own, session, t("identity.came_back"));
  };
  dialog.show(t(others.length > 0 ? "identity.stay_title" : "identity.take_back"), form(rows, t("identity.come_back"), deed, backTo(coming)));
}
