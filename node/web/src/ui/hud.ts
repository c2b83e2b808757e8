// What lies over a world: who is here, the chat, gestures, hints; as little as will do.
import type { World } from "../api/node";
import { elsewhere, type Session } from "../api/session";
import { type Key, t } from "../i18n";
import { hue } from "../people";
import type { Entered } from "../net/codec";
import type { State } from "../net/connection";
import type { Visit } from "../visit/visit";
import { asksWords } from "./asks";
import { ChatPanel } from "./chat";
import { h } from "./dom";
import { byeWords } from "./errors";
import { icon, type Icon } from "./icons";
import { pills } from "./pills";

export interface HudDoors {
  look(): void;
  settings(): void;
  leave(): void;
  keep(): void;
  invite(): void;
  portals(): void;
}

/** Begins to write to somebody who is here. */
export type Write = (userId: string) => void;

/** Shows what can be done about somebody who is here. */
export type Meet = (person: Pick<Entered, "userId" | "name" | "guest" | "badges">) => void;

const HELP_MS = 14_000;

export class Hud {
  readonly element: HTMLElement;
  readonly chat: ChatPanel;
  private readonly count: HTMLElement;
  private readonly list: HTMLElement;
  private readonly pill: HTMLButtonElement;
  private readonly seatButton: HTMLButtonElement;
  private readonly seatHint: HTMLElement;
  private readonly banner: HTMLElement;
  private readonly help: HTMLElement;
  private readonly menu: HTMLElement;
  private about: (() => void) | null = null;
  private write: { deed: Write; label: (name: string) => string } | null = null;
  private meet: { deed: Meet; label: (name: string) => string } | null = null;
  private bannerTimer: ReturnType<typeof setInterval> | null = null;

  constructor(
    private readonly visit: Visit,
    private readonly session: Session,
    world: World,
    private readonly doors: HudDoors,
  ) {
    this.count = h("span", { class: "here-count" });
    this.pill = h(
      "button",
      { class: "panel here", attrs: { type: "button", "aria-expanded": "false", "aria-controls": "here-list" } },
      !world.public && closedMark(world),
      h("span", { class: "here-place" }, h("span", { class: "here-world", text: world.name }), this.nodeMark()),
      h("span", { class: "here-people" }, icon("people"), this.count, icon("more")),
    );
    this.list = h("div", { class: "panel here-list", attrs: { id: "here-list", hidden: true } });
    this.pill.addEventListener("click", () => this.toggleList());
    this.menu = h(
      "nav",
      { class: "menu", attrs: { "aria-label": t("hud.settings") } },
      this.button("link", "hud.invite", doors.invite),
      this.button("portal", "hud.portals", doors.portals),
      this.button("look", "hud.look", doors.look),
      this.button("settings", "hud.settings", doors.settings),
      this.button("leave", "hud.leave", doors.leave),
    );
    this.chat = new ChatPanel(visit.chat, {
      say: (body) => void visit.speech.say(body),
      retry: (line) => void visit.speech.retry(line),
      listen: () => visit.speech.listen(),
      leave: () => this.focusWorld(),
    }, visit.host.serverName);
    this.seatButton = this.button("sit", "hud.sit", () => visit.sitOrStand(), "E");
    this.seatButton.hidden = true;
    this.seatHint = h(
      "div",
      { class: "seat-hint", attrs: { hidden: true } },
      h("kbd", { text: "E" }),
      h("span", { text: t("hud.seat_hint") }),
    );
    this.banner = h("div", { class: "panel banner", attrs: { role: "status", hidden: true } });
    this.help = this.helpBar();
    this.element = h(
      "div",
      { class: "hud" },
      h("div", { class: "top-left" }, this.pill, this.list),
      this.menu,
      this.banner,
      this.seatHint,
      this.help,
      h("div", { class: "bottom-left" }, this.chat.opener, this.chat.element),
      this.actions(),
      this.touch(),
    );
    this.people();
    this.chat.update(null, session.userId);
  }

  /** A headset is offered only where there is one. */
  offerHeadset(enter: () => void): void {
    this.menu.prepend(this.button("headset", "hud.vr", enter));
  }

  /** Lets the person write to everybody here who can answer. */
  offerWriting(deed: Write, label: (name: string) => string): void {
    this.write = { deed, label };
    this.people();
  }

  /** Lets the person press everybody else's name, here and in the chat. */
  offerMeeting(deed: Meet, label: (name: string) => string): void {
    this.meet = { deed, label };
    this.people();
    this.chat.offerMeeting((userId, name) => deed(this.visit.crowd.byUser(userId)?.entered ?? { userId, name, guest: false, badges: [] }), label, this.session.userId);
  }

  /** Lets the person see how this world is kept, where there is something to say of that. */
  offerAbout(deed: (() => void) | null): void {
    this.about = deed;
    this.people();
  }

  /** Which node this is, for whoever lives on another. */
  private nodeMark(): HTMLElement | null {
    const { isHome, serverName: node } = this.visit.host;
    return isHome ? null : h("span", { class: "here-node", text: t("travel.at", { node }) });
  }

  private button(name: Icon, key: Key, deed: () => void, hotkey: string | null = null): HTMLButtonElement {
    const button = h(
      "button",
      { class: "tool", attrs: { type: "button", "data-tool": name, "aria-keyshortcuts": hotkey } },
      icon(name),
      h("span", { class: "tool-text", text: t(key) }),
      hotkey !== null && h("kbd", { text: hotkey, attrs: { "aria-hidden": "true" } }),
    );
    button.addEventListener("click", (event) => {
      deed();
      // A click with a pointer leaves the keys to walking; one with the keyboard keeps the focus.
      if (event.detail > 0) this.focusWorld();
    });
    return button;
  }

  private actions(): HTMLElement {
    const { visit } = this;
    const gestures = h(
      "div",
      { class: "gestures", attrs: { role: "group", "aria-label": t("hud.emotes") } },
      this.button("wave", "hud.wave", () => visit.emote(1), "1"),
      this.button("dance", "hud.dance", () => visit.emote(2), "2"),
      this.button("point", "hud.point", () => visit.emote(3), "3"),
    );
    const more = this.button("emotes", "hud.emotes", () => gestures.classList.toggle("open"));
    more.classList.add("more");
    return h(
      "div",
      { class: "panel actions" },
      more,
      gestures,
      this.button("view", "hud.view", () => visit.view?.toggle(), "V"),
      this.seatButton,
    );
  }

  private touch(): HTMLElement {
    const knob = h("span", { class: "knob" });
    const stick = h("div", { class: "stick", attrs: { role: "img", "aria-label": t("hud.stick") } }, knob);
    this.visit.input.attachStick(stick, knob);
    const jump = h(
      "button",
      { class: "jump", attrs: { type: "button" } },
      icon("jump"),
      h("span", { text: t("hud.jump") }),
    );
    jump.addEventListener("pointerdown", () => this.visit.jump());
    return h("div", { class: "touch" }, stick, jump);
  }

  private helpBar(): HTMLElement {
    const keys = (...names: string[]): Node[] => names.map((name) => h("kbd", { text: name }));
    const bar = h(
      "div",
      { class: "help" },
      h("span", { class: "keys" }, ...keys("W", "A", "S", "D"), h("span", { text: t("hud.help_walk") })),
      h("span", { class: "keys" }, ...keys("⇧"), h("span", { text: t("hud.help_run") })),
      h("span", { class: "keys" }, ...keys("␣"), h("span", { text: t("hud.jump") })),
      h("span", { class: "keys" }, h("span", { text: `${t("hud.help_look")}: ${t("hud.help_drag")}` })),
      h("span", { class: "touch-help", text: t("hud.help_touch") }),
    );
    return bar;
  }

  /** The person has walked: they know how. */
  walked(): void {
    setTimeout(() => this.help.classList.add("going"), 2500);
    setTimeout(() => this.help.remove(), HELP_MS);
  }

  focusWorld(): void {
    this.visit.stage.renderer.domElement.focus({ preventScroll: true });
  }

  private toggleList(): void {
    const shown = this.list.hidden;
    this.list.hidden = !shown;
    this.pill.setAttribute("aria-expanded", String(shown));
    this.people();
  }

  closeList(): void {
    if (!this.list.hidden) this.toggleList();
  }

  people(): void {
    const everybody = [...this.visit.crowd.people.values()].map(({ entered }) => entered);
    this.count.textContent = t("hud.here_count", { count: everybody.length + 1 });
    if (this.list.hidden) return;
    const rows = [
      this.person({ userId: this.session.userId, name: this.session.name, badges: this.visit.badges }, t("hud.you")),
      ...everybody.sort((a, b) => a.name.localeCompare(b.name)).map((one) => this.person(one, one.guest ? t("hud.guest") : "", one)),
    ];
    const keep = h("button", { class: "secondary", attrs: { type: "button" } }, icon("check"), t("hud.keep"));
    keep.addEventListener("click", this.doors.keep);
    const about = h("button", { class: "secondary", attrs: { type: "button" } }, icon("shield"), t("hud.about"));
    about.addEventListener("click", () => {
      this.closeList();
      this.about?.();
    });
    this.list.replaceChildren(
      h("h2", { text: t("hud.here") }),
      h("ul", {}, ...rows),
      ...(this.session.guest ? [h("p", { class: "hint", text: t("hud.friends_guest") }), h("div", { class: "row" }, keep)] : []),
      ...(this.about ? [h("div", { class: "row" }, about)] : []),
    );
  }

  private person({ userId, name, badges }: Pick<Entered, "userId" | "name" | "badges">, note: string, other: Entered | null = null): HTMLElement {
    const mark = h("span", { class: "mark", text: [...name][0]?.toUpperCase() ?? "?" });
    mark.style.setProperty("--hue", `${Math.round(hue(userId) * 360)}`);
    const { write, meet } = this;
    return h(
      "li",
      { attrs: { title: userId } },
      mark,
      h("span", { class: "person-who" }, h("bdi", { class: "person-name", text: name }), homeMark(userId, this.visit.host.serverName), pills(badges)),
      note !== "" && h("span", { class: "note", text: note }),
      other && write && !other.guest && this.personButton("pen", write.label(name), () => write.deed(userId)),
      other && meet && this.personButton("dots", meet.label(name), () => meet.deed(other)),
    );
  }

  private personButton(name: Icon, label: string, deed: () => void): HTMLButtonElement {
    const attrs = { type: "button", "aria-label": label, title: label };
    const button = h("button", { class: "round small", attrs }, icon(name));
    button.addEventListener("click", () => {
      this.closeList();
      deed();
    });
    return button;
  }

  seat(hint: "sit" | "stand" | null): void {
    this.seatButton.hidden = hint === null;
    const text = this.seatButton.querySelector(".tool-text");
    if (text) text.textContent = t(hint === "stand" ? "hud.stand" : "hud.sit");
    this.seatHint.hidden = hint !== "sit";
  }

  /** Says calmly that the connection is gone, and when it is tried again. */
  state(state: State): void {
    if (this.bannerTimer) clearInterval(this.bannerTimer);
    this.bannerTimer = null;
    this.banner.hidden = state.kind === "open" || state.kind === "over";
    if (state.kind === "connecting") {
      this.banner.replaceChildren(h("span", { class: "pulse" }), h("span", { text: t("banner.connecting") }));
    }
    if (state.kind !== "waiting") return;
    const text = h("span", {});
    const again = h("button", { class: "inline", text: t("banner.again"), attrs: { type: "button" } });
    again.addEventListener("click", () => this.visit.connection.again());
    const tick = (): void => {
      const seconds = Math.max(0, Math.ceil((state.untilMs - Date.now()) / 1000));
      const why = state.reason === null ? "" : `${byeWords(state.reason)} `;
      text.textContent = why + t(why === "" ? "banner.lost" : "banner.retry", { seconds });
    };
    tick();
    this.bannerTimer = setInterval(tick, 500);
    this.banner.replaceChildren(h("span", { class: "pulse" }), text, again);
  }

  dispose(): void {
    if (this.bannerTimer) clearInterval(this.bannerTimer);
    this.element.remove();
  }
}

/** The home of somebody who lives on another node than that of the world. */
function homeMark(userId: string, serverName: string): HTMLElement | null {
  const home = elsewhere(userId, serverName);
  return home === null ? null : h("span", { class: "from", text: home });
}

/** That a world is not for everybody, as a picture and in words. */
function closedMark({ asks = [] }: World): HTMLElement {
  const text = asks.length > 0 ? asksWords(asks) : t("worlds.private");
  return h("span", { class: "here-private", attrs: { title: text } }, icon(asks.length > 0 ? "badge" : "lock"), h("span", { class: "unseen", text }));
}
