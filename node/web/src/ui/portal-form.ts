// Setting a portal up: where it leads, looked for while that is typed; what it is called; where it stands.
import { ApiError } from "../api/http";
import type { NodeInfo, World } from "../api/node";
import { type Place, placeAt, placeOf, type Portal, setPortal } from "../api/portals";
import type { Session } from "../api/session";
import { count, loadMore, t } from "../i18n";
import type { Address } from "../travel/address";
import { type Host, UntoldError } from "../travel/host";
import { addressAt, isPage, readTyped } from "../travel/typed";
import { OTHER, uriOf } from "../travel/uri";
import type { Visit } from "../visit/visit";
import { busy, field, freshId, h, say } from "./dom";
import { words } from "./errors";
import { icon } from "./icons";
import { picture } from "./worlds";

export interface FormDoors {
  host(address: Address): Promise<Host>;
  /** It is set up. */
  done(): Promise<void>;
  back(): void;
}

/** Whoever types is not asked about at every letter. */
const REST_MS = 500;
/** So far before somebody it is set up, who looks at it then. */
const AHEAD_M = 2;

/** What was typed names nothing to which a portal could lead. */
class NowhereError extends Error {
  override name = "NowhereError";

  constructor(readonly why: "unreadable" | "other" | "no_node") {
    super(`an address for a portal: ${why}`);
  }
}

export function portalForm(
  portal: Portal | null,
  arches: readonly string[],
  visit: Visit,
  session: Session,
  node: NodeInfo,
  doors: FormDoors,
): HTMLFormElement {
  return new PortalForm(portal, arches, visit, session, node, doors).element;
}

class PortalForm {
  readonly element: HTMLFormElement;
  private readonly address: ReturnType<typeof field>;
  private readonly name: ReturnType<typeof field>;
  private readonly check = h("div", { class: "portal-check", attrs: { role: "status" } });
  private readonly wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  private readonly place: { element: HTMLElement; value: () => Place };
  private resting: ReturnType<typeof setTimeout> | undefined;
  private asked = "";

  constructor(
    private readonly portal: Portal | null,
    arches: readonly string[],
    private readonly visit: Visit,
    private readonly session: Session,
    private readonly node: NodeInfo,
    private readonly doors: FormDoors,
  ) {
    const plain = { type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false" };
    // An id of a room may not say where that is; the URI does.
    const known = portal === null ? "" : portal.address.startsWith("!") ? portal.uri : portal.address;
    this.address = field(t("portals.address"), { ...plain, value: known, required: true, maxlength: 2_048 }, t("portals.address_hint"));
    this.name = field(t("portals.name"), { type: "text", autocomplete: "off", value: portal?.name ?? "", maxlength: 120 }, t("portals.name_hint"));
    this.place = placeChoice(portal, arches, visit);
    const go = h("button", { class: "primary", text: t(portal ? "portals.save" : "portals.set_up"), attrs: { type: "submit" } });
    const back = h("button", { class: "quiet", attrs: { type: "button" } }, icon("back"), t("portals.back"));
    back.addEventListener("click", () => {
      clearTimeout(this.resting);
      doors.back();
    });
    const heading = h("h3", { text: t(portal ? "portals.edit_title" : "portals.add") });
    this.element = h("form", { class: "form portal-form" }, heading, this.address.row, this.check, this.name.row, this.place.element, this.wrong, go, back);
    this.address.input.addEventListener("input", () => this.rest());
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      void busy(go, () => this.set());
    });
    if (portal) void this.look();
  }

  private rest(): void {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => void this.look(), REST_MS);
  }

  /** Shows what is there, as this person sees it. */
  private async look(): Promise<void> {
    const text = this.address.input.value.trim();
    if (text === this.asked) return;
    this.asked = text;
    const isMine = (): boolean => this.asked === text;
    if (text === "") {
      this.check.replaceChildren();
      return;
    }
    this.tell(h("p", { class: "hint", text: t("portals.looking") }));
    try {
      const address = await this.read(text);
      const found = await (await this.doors.host(address)).world(address.name, this.session);
      if (isMine()) this.tell(found ? this.found(found, address) : h("p", { class: "hint", text: t("portals.not_for_all", { address: address.name }) }));
    } catch (error) {
      const why = await this.why(error);
      if (isMine()) this.tell(h("p", { class: "wrong", text: why }));
    }
  }

  private tell(said: HTMLElement): void {
    this.check.replaceChildren(said);
  }

  private found(world: World, { serverName }: Address): HTMLElement {
    const isOwn = serverName === this.visit.host.serverName;
    const there = world.people > 0 ? count("people", world.people) : t("worlds.nobody");
    const where = isOwn ? there : `${t("portals.at", { node: serverName })} · ${there}`;
    return h("div", { class: "portal-found" }, picture(world), h("div", {}, h("b", { text: world.name }), h("p", { class: "hint", text: where })));
  }

  private async read(text: string): Promise<Address> {
    const read = readTyped(text, this.node);
    if (read === null) throw new NowhereError("unreadable");
    if (read === OTHER) throw new NowhereError("other");
    const address = isPage(read) ? await addressAt(read).catch(noNode) : read;
    if (address === null) throw new NowhereError("no_node");
    return address;
  }

  private async why(error: unknown): Promise<string> {
    if (error instanceof NowhereError) return t(`portals.${error.why}`);
    if (!(error instanceof ApiError) && !(error instanceof UntoldError)) return words(error);
    await loadMore("travel");
    const { whyNot } = await import("../travel");
    const there = this.nodeOf(this.address.input.value);
    return there === this.node.server_name ? words(error) : whyNot(error, there, this.node.server_name).about;
  }

  /** The node that was asked about what was typed. */
  private nodeOf(text: string): string {
    const read = readTyped(text, this.node);
    if (read === null || read === OTHER) return text;
    return isPage(read) ? new URL(read.link).host : read.serverName;
  }

  private async set(): Promise<void> {
    say(this.wrong, null);
    const { portal, visit } = this;
    let address: Address;
    try {
      address = await this.read(this.address.input.value.trim());
    } catch (error) {
      say(this.wrong, await this.why(error));
      this.address.input.focus();
      return;
    }
    try {
      const isSame = portal !== null && portal.address === address.name;
      const wish = { uri: isSame ? portal.uri : uriOf(address), name: this.name.input.value.trim(), place: this.place.value() };
      await setPortal(visit.world.room_id, portal?.id ?? crypto.randomUUID(), wish, this.session);
      clearTimeout(this.resting);
      await this.doors.done();
    } catch (error) {
      say(this.wrong, setWords(error));
    }
  }
}

/** Whose page it is could not be found out; that nobody answers is another trouble. */
function noNode(error: unknown): null {
  if (error instanceof ApiError && (error.status === 400 || error.status === 404)) return null;
  throw error;
}

/** Where it is to stand: as it does, before whoever sets it up, in an arch of the scene, or nowhere. */
function placeChoice(portal: Portal | null, arches: readonly string[], visit: Visit): { element: HTMLElement; value: () => Place } {
  const group = freshId("place");
  const options = arches.map((name) => h("option", { text: archName(name), attrs: { value: name } }));
  const arch = h("select", { attrs: { "aria-label": t("portals.arches") } }, ...options);
  const stays = portal !== null;
  const choices: { value: () => Place; row: HTMLElement; input: HTMLInputElement }[] = [];
  const add = (text: string, about: string | null, value: () => Place, within: HTMLElement | null = null): void => {
    const id = freshId("place");
    const input = h("input", { attrs: { id, type: "radio", name: group, checked: choices.length === 0 } });
    const label = h("label", { attrs: { for: id } }, h("b", { text }));
    const more = within ?? (about !== null && h("p", { class: "hint", text: about }));
    within?.addEventListener("change", () => (input.checked = true));
    choices.push({ value, input, row: h("div", { class: within ? "choice with-select" : "choice" }, input, label, more) });
  };
  if (stays) add(t("portals.place_same"), whereNow(portal), () => placeOf(portal));
  if (arches.length > 0) add(t("portals.place_arch"), null, () => ({ node: arch.value }), arch);
  add(t("portals.place_here"), t("portals.place_here_about"), () => beforeMe(visit));
  add(t("portals.place_list"), t("portals.place_list_about"), () => ({}));
  const element = h("fieldset", { class: "access" }, h("legend", { text: t("portals.place") }), ...choices.map(({ row }) => row));
  return { element, value: () => choices.find(({ input }) => input.checked)?.value() ?? {} };
}

function archName(name: string): string {
  return t("portals.arch", { number: name.replace(/^portal_/, "") });
}

function whereNow({ node, position }: Portal): string {
  if (node !== null) return /^portal_\d+$/.test(node) ? archName(node) : node;
  return t(position ? "portals.stands" : "portals.stands_nowhere");
}

/** A little before somebody and facing them, on the ground; where there is none, right where they are. */
function beforeMe({ walker, view, scene }: Visit): Place {
  if (!walker || !view || !scene) return {};
  const { feet } = walker;
  const [x, z] = [feet.x + Math.sin(view.yaw) * AHEAD_M, feet.z + Math.cos(view.yaw) * AHEAD_M];
  const ground = scene.solid.ground(x, z, feet.y + 1, feet.y - 1);
  const at: [number, number, number] = ground ? [x, ground.y, z] : [feet.x, feet.y, feet.z];
  return placeAt(at, view.yaw + Math.PI);
}

/** Why a portal was not set up, changed or removed. */
export function setWords(error: unknown): string {
  const isPowerless = error instanceof ApiError && error.code === "M_FORBIDDEN";
  return isPowerless ? t("portals.no_power") : words(error);
}
