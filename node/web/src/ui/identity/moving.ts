// Moving in from another node: who somebody is there, and who may know them. What is found is shown in ./arriving.
import { readUserId } from "../../api/friends";
import type { Session } from "../../api/session";
import type { Bytes } from "../../identity/bytes";
import { isDid, isServer } from "../../identity/did";
import type { RecoveryFile } from "../../identity/recovery";
import { loadMore, t } from "../../i18n";
import type { OwnIdentity } from "../../person";
import { MOST_ASKED } from "../../person/finding";
import { field, freshId, h } from "../dom";
import { search } from "./arriving";
import { wordsField } from "./join";
import { form, hint, lead, opening, quiet, steps, type Steps, tell } from "./steps";

/** A dialog in which somebody moves in. */
export interface Moving {
  dialog: Steps;
  own: OwnIdentity;
  session: Session;
  /** Whether the account has an identity already, which gives way. */
  givesWay: boolean;
}

/** What somebody has said of themselves. */
export interface Told {
  entropy: Bytes;
  /** Their DID or their account at the home of before. */
  name: string;
  file: RecoveryFile | null;
  /** Servers, and accounts of friends, that may know them. */
  at: readonly string[];
}

const LETTERS = 1_024;

export function movingDialog(own: OwnIdentity, session: Session, givesWay: boolean, closed: () => void): Promise<void> {
  return opening(async () => {
    await loadMore("identity");
    ways({ dialog: steps(closed), own, session, givesWay });
  });
}

function ways(moving: Moving): void {
  const all = h(
    "div",
    { class: "identity-ways" },
    quiet(t("identity.join_file"), () => byFile(moving), "primary"),
    quiet(t("identity.join_words"), () => byWords(moving), "secondary"),
  );
  moving.dialog.show(t("identity.moving.title"), lead(t("identity.moving.lead")), all, hint(t("identity.moving.nothing_yet")));
}

function byFile(moving: Moving): void {
  const given = field(t("identity.words_file"), { type: "file", name: "file", accept: ".json,application/json", required: true });
  const friends = friendsField();
  const wrong = wrongPlace();
  const deed = async (): Promise<void> => {
    const chosen = given.input.files?.[0];
    const named = friends.read(wrong);
    if (!chosen || !named) return;
    const { readRecoveryFile } = await import("../../identity/recovery");
    const file = await readRecoveryFile(await chosen.text());
    const told = { entropy: file.recovery.entropy, name: file.log.did, file, at: asked(named, file.copies) };
    await search(moving, told, show);
  };
  const rows = [lead(t("identity.moving.file_lead")), given.row, friends.row, wrong];
  const asks = form(rows, t("identity.moving.search"), deed, [back(moving)]);
  // Whoever comes back to it finds what they have chosen and typed.
  const show = (): void => moving.dialog.show(t("identity.words_file"), asks);
  show();
}

function byWords(moving: Moving): void {
  const words = wordsField();
  const attrs = { type: "text", name: "address", required: true, autocomplete: "off", autocapitalize: "none", spellcheck: "false", maxlength: LETTERS };
  const address = field(t("identity.moving.address"), attrs, t("identity.moving.address_hint"));
  const friends = friendsField();
  const wrong = wrongPlace();
  const deed = async (): Promise<void> => {
    const entropy = await words.read();
    const name = address.input.value.trim();
    if (!isDid(name) && readUserId(name) === null) {
      tell(wrong, t("identity.moving.no_address"));
      address.input.focus();
      return;
    }
    const named = friends.read(wrong);
    if (named) await search(moving, { entropy, name, file: null, at: asked(named, []) }, show);
  };
  const rows = [words.row, address.row, friends.row, wrong];
  const asks = form(rows, t("identity.moving.search"), deed, [back(moving)]);
  const show = (): void => moving.dialog.show(t("identity.words_title"), asks);
  show();
}

const back = (moving: Moving): HTMLElement => quiet(t("identity.back"), () => ways(moving));
const wrongPlace = (): HTMLElement => h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });

/** Those whom the person names are asked before those that the file does. */
const asked = (named: readonly string[], copies: readonly string[]): string[] => [...new Set([...named, ...copies])].slice(0, MOST_ASKED);

/** A field for friends; what is typed is read to servers and accounts, or to null where something is neither. */
function friendsField(): { row: HTMLElement; read: (wrong: HTMLElement) => string[] | null } {
  const [id, hintId] = [freshId("friends"), freshId("friends-hint")];
  const attrs = { id, name: "friends", rows: 2, autocomplete: "off", autocapitalize: "none", spellcheck: "false", "aria-describedby": hintId, maxlength: 4_096 };
  const input = h("textarea", { attrs });
  const row = h(
    "div",
    { class: "field" },
    h("label", { text: t("identity.moving.friends"), attrs: { for: id } }),
    input,
    h("p", { class: "hint", text: t("identity.moving.friends_hint"), attrs: { id: hintId } }),
  );
  const read = (wrong: HTMLElement): string[] | null => {
    const all = input.value.split(/[\s,;]+/).filter((one) => one !== "");
    const odd = all.find((one) => readUserId(one) === null && !isServer(one));
    if (odd === undefined && all.length <= MOST_ASKED) return all;
    tell(wrong, odd === undefined ? t("identity.moving.too_many", { most: MOST_ASKED }) : t("identity.moving.no_friend", { name: odd.slice(0, 60) }));
    input.focus();
    return null;
  };
  return { row, read };
}
