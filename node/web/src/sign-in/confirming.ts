// What a program waits for until its person confirms it here (client-server API, user-interactive authentication).
import { ask } from "../api/http";
import { hasPasskeys, type NodeInfo } from "../api/node";
import { type Shown, showPasskey } from "../api/passkeys";
import { loadMore, t } from "../i18n";
import { busy, field, h, say } from "../ui/dom";
import { icon } from "../ui/icons";
import { passkeyWords } from "../ui/passkey";
import { hostOf, type Program } from "./asking";
import { homeDoor } from "./home";
import { providerButtons } from "./providers";

/** A device as the node knows it. */
interface Device {
  id: string;
  name: string | null;
}

/** What waits, who asks for it, and by what its person can show that they are. */
export interface Waiting {
  user_id: string;
  device: Device;
  program?: Program;
  operation: { kind: string; devices?: Device[]; more?: number; home?: string };
  ways: { password: boolean; passkey: boolean; providers: string[] };
}

/** What is shown to confirm it: a password, or that a provider vouched to this tab. */
type Proof = { user: string; password: string } | { word: string; browser: string };

/** The page on whose card it is shown. */
export interface Card {
  show(...children: (Node | null | false)[]): void;
  form(button: string, deed: () => Promise<void>, ...rows: Node[]): HTMLFormElement;
  told(title: string, lead: string): void;
}

const look = (session: string): Promise<Waiting> =>
  ask("POST", "/_wayside/v1/sign-in/look", { body: { what: { confirm: session } } });

async function confirm(session: string, proof: Proof | Shown): Promise<void> {
  const shown = "ceremony" in proof ? { passkey: proof } : { proof };
  await ask("POST", "/_wayside/v1/sign-in", { body: { what: { confirm: session }, ...shown } });
}

/** Shows what is asked, and lets its person confirm it; `word` is what they brought from a provider. */
export async function confirmPage(
  card: Card,
  node: NodeInfo,
  session: string,
  page: URL,
  word: { word: string; browser: string } | null = null,
): Promise<void> {
  await loadMore("passkeys");
  const waiting = await look(session);
  const done = async (proof: Proof | Shown): Promise<void> => {
    await confirm(session, proof);
    card.told(t("confirm.done"), t("confirm.done_lead"));
    tellProgram();
  };
  const not = h("button", { class: "quiet", text: t("confirm.not"), attrs: { type: "button" } });
  not.addEventListener("click", () => card.told(t("confirm.left"), t("confirm.left_lead")));
  const ways = word
    ? [card.form(t("confirm.confirm"), () => done(word))]
    : waysOf(card, node, waiting, page, done);
  card.show(...introduction(waiting), ...ways, not);
}

/** One place for each way in which this person can show that it is them. */
function waysOf(
  card: Card,
  node: NodeInfo,
  { user_id: user, ways }: Waiting,
  page: URL,
  done: (proof: Proof | Shown) => Promise<void>,
): (Node | null)[] {
  const secret = { type: "password", name: "password", autocomplete: "current-password", maxlength: 512, required: true };
  const password = field(t("confirm.password"), secret);
  // For the browser's own list of passwords.
  const name = h("input", { attrs: { name: "username", autocomplete: "username", value: user, hidden: true } });
  const byPassword = (): Promise<void> => done({ user, password: password.input.value });
  const known = node.providers.filter(({ id }) => ways.providers.includes(id));
  const home = h("div", { class: "by-home" });
  if (ways.providers.includes("did")) void homeDoor(home, { node, page, confirm: true });
  return [
    ways.password ? card.form(t("confirm.confirm"), byPassword, name, password.row) : null,
    ways.passkey && hasPasskeys(node) ? passkeyButton(done) : null,
    providerButtons(known, page, { label: (name) => t("confirm.with", { name }), confirm: true }),
    home,
  ];
}

function passkeyButton(done: (shown: Shown) => Promise<void>): HTMLElement {
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const go = h("button", { class: "secondary", attrs: { type: "button" } }, icon("key"), t("confirm.passkey"));
  go.addEventListener("click", () => {
    say(wrong, null);
    void busy(go, async () => {
      try {
        await done(await showPasskey("sign_in"));
      } catch (error) {
        say(wrong, passkeyWords(error));
        wrong.scrollIntoView({ block: "nearest" });
      }
    });
  });
  return h("div", { class: "by-passkey" }, go, wrong);
}

/** What happens if it is confirmed, to whom, and who wants it. */
function introduction({ user_id: user, device, program, operation }: Waiting): Node[] {
  const by = program ? `${program.name} (${device.name ?? device.id})` : calledAs(device);
  const lines = [
    t("confirm.account", { user }),
    t("confirm.by", { device: by }),
    ...(program?.uri ? [t("sign_in.from", { host: hostOf(program.uri) })] : []),
    t("confirm.untrusted"),
  ];
  const [title, lead] = words(operation);
  const list = h("ul", { class: "hint" }, ...lines.map((text) => h("li", { text })));
  return [h("h1", { text: title }), h("p", { class: "lead", text: lead }), list];
}

const calledAs = ({ id, name }: Device): string => (name === null || name === "" ? id : `${name} (${id})`);

/** In plain words what is done, and what comes of it. */
function words({ kind, devices = [], more = 0, home }: Waiting["operation"]): [string, string] {
  switch (kind) {
    case "remove_devices": {
      const names = devices.map(calledAs).join(", ");
      const lead = t("confirm.remove_devices_lead");
      if (more > 0) return [t("confirm.remove_more", { names, more: `${more}` }), lead];
      return [t("confirm.remove_devices", { names }), lead];
    }
    case "sign_in":
      return [t("confirm.sign_in"), t("confirm.sign_in_lead")];
    case "new_password":
      return [t("confirm.new_password"), t("confirm.new_password_lead")];
    case "end_account":
      return [t("confirm.end_account"), t("confirm.end_account_lead")];
    case "add_email":
      return [t("confirm.add_email"), t("confirm.add_email_lead")];
    case "replace_keys":
      return [t("confirm.replace_keys"), t("confirm.replace_keys_lead")];
    case "add_passkey":
      return [t("confirm.add_passkey"), t("confirm.add_way_lead")];
    case "add_link":
      if (home !== undefined) return [t("confirm.add_identity", { home }), t("confirm.add_identity_lead", { home })];
      return [t("confirm.add_link"), t("confirm.add_way_lead")];
    case "remove_passkey":
      return [t("confirm.remove_passkey"), t("confirm.remove_way_lead")];
    case "remove_link":
      return [t("confirm.remove_link"), t("confirm.remove_way_lead")];
    default:
      // A node that knows more than this page, which was loaded before.
      return [t("confirm.other", { kind }), t("confirm.other_lead")];
  }
}

/** Tells whoever opened this page, in the way of the specification. */
function tellProgram(): void {
  const inside = window as Window & { onAuthDone?: () => void };
  if (inside.onAuthDone) inside.onAuthDone();
  else (window.opener as Window | null)?.postMessage("authDone", "*");
}
