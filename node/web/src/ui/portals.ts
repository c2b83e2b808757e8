// The list of a world's portals: where each leads, who is let in there, going there, and changing them for those who may.
import "./portals.css";
import type { NodeInfo } from "../api/node";
import { maySetPortals, type Portal, removePortal, type Target } from "../api/portals";
import type { Session } from "../api/session";
import { t } from "../i18n";
import { type Address, titleOf } from "../travel/address";
import type { Host } from "../travel/host";
import type { Visit } from "../visit/visit";
import { busy, h, say } from "./dom";
import { words } from "./errors";
import { icon } from "./icons";
import { portalForm, setWords } from "./portal-form";
import { closeDialog, openDialog } from "./shell";
import { picture } from "./worlds";

export interface PortalsDoors {
  go(portal: Portal): void;
  /** Asks for all of them anew. */
  changed(): Promise<void>;
  host(address: Address): Promise<Host>;
  closed(): void;
}

export class PortalsDialog {
  private readonly body = h("div", { class: "portals" });
  private readonly wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  private all: readonly Portal[] | null = null;
  private arches: readonly string[] = [];
  private may = false;
  /** Which one is about to be removed, if that is meant. */
  private doomed: string | null = null;
  private view: "list" | "form" = "list";

  constructor(
    private readonly visit: Visit,
    private readonly session: Session,
    private readonly node: NodeInfo,
    private readonly doors: PortalsDoors,
  ) {
    openDialog(t("portals.title"), [this.body], { wide: true, closed: doors.closed });
    void this.learn();
  }

  /** Shows what is known now; null is nothing yet. */
  update(all: readonly Portal[] | null, arches: readonly string[]): void {
    this.all = all;
    this.arches = arches;
    say(this.wrong, null);
    if (this.view === "list") this.draw();
  }

  /** They could not be asked for. */
  failed(error: unknown): void {
    this.all ??= [];
    if (this.view === "list") this.draw();
    say(this.wrong, words(error));
  }

  /** Whoever may change them is in the room of the world, where their home knows what they may. */
  private async learn(): Promise<void> {
    const { visit, session } = this;
    if (session.guest) return;
    try {
      await visit.speech.joined();
      this.may = await maySetPortals(visit.world.room_id, session);
      if (this.may && this.view === "list") this.draw();
    } catch (error) {
      // Going through them needs no power.
      console.warn("it is not known whether portals may be set here", error);
    }
  }

  private draw(): void {
    const { all, may } = this;
    const focused = this.body.querySelector<HTMLElement>(":focus")?.dataset.key;
    const add = h("button", { class: "secondary", attrs: { type: "button", "data-key": "add" } }, icon("plus"), t("portals.add"));
    add.addEventListener("click", () => this.edit(null));
    const nothing = all?.length === 0;
    const lead = all === null ? t("portals.looking") : t(nothing ? (may ? "portals.none_yet" : "portals.none") : "portals.lead");
    const list = all !== null && !nothing && h("ul", { class: "portal-list" }, ...all.map((one) => this.card(one)));
    const rows = [h("p", { class: "lead", text: lead }), list, this.wrong, may && add];
    this.body.replaceChildren(...rows.filter((row) => row !== false));
    const again = focused === undefined ? null : this.body.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`);
    again?.focus();
  }

  private card(portal: Portal): HTMLElement {
    const { target, trouble, serverName, address } = portal;
    const isHere = serverName === this.visit.host.serverName;
    const name = titleOf(portal);
    const about = target && target.name !== name ? target.name : null;
    const frame = picture({ room_id: address, preview: target?.preview ?? null });
    return h(
      "li",
      { class: trouble === null ? "portal-card" : "portal-card closed" },
      frame,
      h(
        "div",
        { class: "portal-text" },
        h("h3", { text: name }),
        h("p", { class: "portal-where", text: [about, isHere ? null : t("portals.at", { node: serverName })].filter(Boolean).join(" ") }),
        target && people(target),
        target && whoComes(target),
        trouble !== null && h("p", { class: "wrong", text: t(`portals.${trouble}`, { node: serverName }) }),
        this.doomed === portal.id ? this.doom(portal, name) : this.deeds(portal, name),
      ),
    );
  }

  private deeds(portal: Portal, name: string): HTMLElement {
    const button = (kind: string, key: string, text: string, label: string, deed: () => void): HTMLButtonElement => {
      const attrs = { type: "button", "aria-label": label, "data-key": `${key} ${portal.id}` };
      const made = h("button", { class: kind, text, attrs });
      made.addEventListener("click", deed);
      return made;
    };
    const go = button("secondary", "go", t("portals.go"), t("portals.go_name", { world: name }), () => {
      closeDialog();
      this.doors.go(portal);
    });
    const edit = this.may && button("quiet", "edit", t("portals.edit"), t("portals.edit_name", { world: name }), () => this.edit(portal));
    const remove = this.may && button("quiet", "remove", t("portals.remove"), t("portals.remove_name", { world: name }), () => {
      this.doomed = portal.id;
      this.draw();
      this.body.querySelector<HTMLElement>(`[data-key="${CSS.escape(`keep ${portal.id}`)}"]`)?.focus();
    });
    return h("div", { class: "portal-deeds" }, go, edit, remove);
  }

  /** Asks whether one is to be removed. */
  private doom(portal: Portal, name: string): HTMLElement {
    const keep = h("button", { class: "quiet", text: t("portals.keep"), attrs: { type: "button", "data-key": `keep ${portal.id}` } });
    keep.addEventListener("click", () => {
      this.doomed = null;
      this.draw();
      this.body.querySelector<HTMLElement>(`[data-key="${CSS.escape(`remove ${portal.id}`)}"]`)?.focus();
    });
    const remove = h("button", { class: "secondary danger", text: t("portals.remove"), attrs: { type: "button" } });
    remove.addEventListener("click", () => void busy(remove, () => this.remove(portal)));
    return h("div", { class: "portal-deeds" }, h("p", { text: t("portals.remove_ask", { world: name }) }), remove, keep);
  }

  private async remove({ id }: Portal): Promise<void> {
    try {
      await removePortal(this.visit.world.room_id, id, this.session);
      this.doomed = null;
      await this.doors.changed();
      this.draw();
      this.body.querySelector<HTMLElement>("[data-key=add]")?.focus();
    } catch (error) {
      say(this.wrong, setWords(error));
    }
  }

  /** Makes a new one, or changes one. */
  private edit(portal: Portal | null): void {
    this.view = "form";
    this.doomed = null;
    const form = portalForm(portal, this.arches, this.visit, this.session, this.node, {
      host: this.doors.host,
      done: async () => {
        await this.doors.changed();
        this.toList(portal);
      },
      back: () => this.toList(portal),
    });
    this.body.replaceChildren(form);
    form.querySelector("input")?.focus();
  }

  private toList(from: Portal | null): void {
    this.view = "list";
    this.draw();
    const key = from === null ? "add" : `edit ${from.id}`;
    this.body.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`)?.focus();
  }
}

function people({ people: there, capacity }: Target): HTMLElement {
  const full = capacity > 0 && there >= capacity;
  const text = t("portals.people", { people: there, capacity });
  const dot = h("span", { class: "dot", attrs: { "aria-hidden": "true" } });
  return h("p", { class: there > 0 ? "world-people some" : "world-people" }, dot, full ? `${t("worlds.full")} · ${text}` : text);
}

/** Who is let in, and for whom it is. */
function whoComes({ visitors, public: open, rating }: Target): HTMLElement {
  const chips = [
    !open && h("span", { class: "chip" }, icon("lock"), t("worlds.private")),
    open && visitors !== null && h("span", { class: "chip", text: t(`portals.visitors_${visitors}`) }),
    rating !== "general" && h("span", { class: "chip", text: t(`worlds.rating.${rating}`) }),
  ];
  return h("p", { class: "chips" }, ...chips);
}
