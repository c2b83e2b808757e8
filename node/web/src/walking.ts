// From the click on a world to walking in it: the canvas, the loading screen, what lies over it.
import { ApiError } from "./api/http";
import type { NodeInfo, Visit as Ticket, World } from "./api/node";
import type { Portal } from "./api/portals";
import type { Session } from "./api/session";
import { Company } from "./company";
import { consentBy } from "./consent";
import { report, reportVisit } from "./hook";
import { isKey, loadMore, t } from "./i18n";
import type { State } from "./net/connection";
import { type Goal, Passage } from "./passage";
import { WorldPortals } from "./portals";
import { onChange, settings, textScale } from "./settings";
import { byeWords, words } from "./ui/errors";
import { Hud } from "./ui/hud";
import { Loading } from "./ui/loading";
import { linkDialog } from "./ui/link";
import { overCard } from "./ui/over";
import { keepDialog, settingsDialog } from "./ui/settings";
import { dialogIsOpen, notice, screen } from "./ui/shell";
import { type Address, shown, titleOf } from "./travel/address";
import type { Consent } from "./travel/disclosure";
import { type Host, UntoldError } from "./travel/host";
import { type Audience, Visit } from "./visit/visit";
import { theStage } from "./world/backstage";
import { SceneError } from "./world/scene";

/** The reason of a visit's end that asks for signing in again (specs/realtime.md, BYE). */
const SIGNED_OUT = 12;

export interface WalkDoors {
  left(): void;
  signedOut(): void;
  session(member: Session): void;
  again(world: World): void;
  /** Goes into another world. */
  enter(world: Address): void;
  /** They are not let in; null is that there is no such world for them. */
  refused(error: unknown): void;
  /** The node of a world. */
  host(address: Address): Promise<Host>;
  /** Goes in by a ticket, out of this world. */
  through(host: Host, ticket: Ticket): void;
}

/** Where somebody walks in, by a ticket where they have one already. */
export interface Way {
  host: Host;
  target: World;
  ticket: Ticket | null;
}

/** A visit as the page sees it that has begun it. */
export interface Walking {
  /** Draws what lies over the world anew. */
  redraw(): void;
  /** Goes back to where the person came from, once the way there is open; says whether they have gone. */
  back(goal: Address): Promise<boolean>;
  /** Stays here, wherever the person was about to go. */
  turnBack(): void;
  /** Ends it, wherever the page goes. */
  quit(): void;
}

export function begin(way: Way, who: Session, node: NodeInfo, doors: WalkDoors): Walking {
  return new Walk(way, who, node, doors);
}

class Walk implements Audience, Walking {
  private readonly place: HTMLElement;
  private readonly loading: Loading;
  private readonly host: Host;
  private readonly passage: Passage;
  private readonly visit: Visit | null;
  private readonly portals: WorldPortals | null;
  private target: World;
  private readonly unlisten: () => void;
  private hud: Hud | null = null;
  /** Puts a headset on, where there is one. */
  private headset: (() => void) | null = null;
  /** What only members have while they are here. */
  private readonly company: Company | null;
  private entered = false;
  private over = false;
  private newest: State = { kind: "connecting" };
  /** Why the person cannot speak. */
  private unheard: string | null = null;

  constructor(
    { host, target, ticket }: Way,
    private who: Session,
    private readonly node: NodeInfo,
    private readonly doors: WalkDoors,
  ) {
    report({ phase: "loading" });
    this.host = host;
    this.target = target;
    this.loading = new Loading(target, () => this.leave());
    this.place = screen("walking", this.loading.element);
    this.unlisten = onChange(() => this.applyTextSize());
    this.applyTextSize();
    this.passage = new Passage(this.place, node, () => this.who, {
      host: doors.host,
      enter: (other, way) => {
        this.stop();
        doors.through(other, way);
      },
      takeOff: () => this.takeOff(),
      pause: (yes) => this.pause(yes),
      signedOut: () => this.signedOut(),
    });
    this.visit = this.open(ticket);
    this.portals = this.visit && this.portalsOf(this.visit);
    this.company = this.visit && this.companyOf(this.visit);
    reportVisit(this.visit);
  }

  private open(ticket: Ticket | null): Visit | null {
    try {
      const stage = theStage();
      stage.canvas.setAttribute("aria-label", t("hud.scene"));
      this.place.prepend(stage.canvas);
      stage.resize();
      return new Visit(stage, this.host, this.target, this.who, this, ticket);
    } catch (error) {
      console.error(error);
      this.end(t("error.title"), t("error.webgl"), false);
      return null;
    }
  }

  private portalsOf(visit: Visit): WorldPortals {
    return new WorldPortals(visit, () => this.who, this.node, {
      go: (portal) => this.passage.open(goalOf(portal)),
      pause: (yes) => this.pause(yes),
      host: this.doors.host,
    });
  }

  private companyOf(visit: Visit): Company {
    return new Company(visit, () => this.who, this.node, {
      enter: (world) => {
        this.stop();
        this.doors.enter(world);
      },
      go: (goal) => void this.passage.open(goal),
    });
  }

  readonly turnBack = (): void => this.passage.cancel();

  async back(address: Address): Promise<boolean> {
    return (await this.passage.open({ address, name: shown(address), back: true })).gone;
  }

  private applyTextSize(): void {
    const scale = textScale(settings().textSize);
    document.documentElement.style.setProperty("--chat-scale", String(scale));
  }

  world(world: World): void {
    this.target = world;
  }

  progress(loaded: number, total: number): void {
    this.loading.progress(loaded, total);
  }

  building(): void {
    this.loading.building();
  }

  ready(): void {
    this.entered = true;
    report({ phase: "walking" });
    this.redraw();
    this.loading.done();
    this.hud?.focusWorld();
    this.portals?.begin();
    void this.offerHeadset();
    void this.company?.join();
  }

  /** Draws what lies over the world, in the language of now. */
  readonly redraw = (): void => {
    const { visit } = this;
    if (!visit || !this.entered) return;
    this.hud?.dispose();
    this.hud = new Hud(visit, this.who, this.target, {
      look: () => void this.look(),
      settings: () => {
        this.pause(true);
        settingsDialog({ node: this.node, session: this.who }, this.redraw, () => this.pause(false));
      },
      leave: () => this.leave(),
      keep: () => this.keep(),
      invite: () => void this.invite(),
      portals: () => void this.portals?.open(),
    });
    this.place.insertBefore(this.hud.element, this.loading.element.parentNode ? this.loading.element : null);
    if (this.headset) this.hud.offerHeadset(this.headset);
    this.company?.offer(this.hud);
    this.hud.chat.heard(this.unheard);
    this.hud.chat.toEnd();
    this.hud.state(this.newest);
    this.portals?.redraw();
  };

  private async offerHeadset(): Promise<void> {
    const { visit } = this;
    if (!visit || !(await navigator.xr?.isSessionSupported("immersive-vr").catch(() => false))) return;
    const { Immersion } = await import("./xr/immersion");
    this.headset = () => {
      new Immersion(visit).begin().catch((error: unknown) => {
        console.error(error);
        notice(t("error.unknown"), "bad");
      });
    };
    this.hud?.offerHeadset(this.headset);
  }

  private pause(yes: boolean): void {
    if (this.visit) this.visit.input.paused = yes;
    if (!yes) this.hud?.focusWorld();
  }

  private async takeOff(): Promise<void> {
    await this.visit?.stage.renderer.xr.getSession()?.end().catch(console.warn);
  }

  readonly consent: Consent = async (serverName, disclosures) => {
    // Whoever is in the middle of something else is not torn out of it: this time they go without.
    if (dialogIsOpen()) return null;
    const asks = consentBy({ pause: (yes) => this.pause(yes), takeOff: () => this.takeOff(), isWanted: () => !this.over });
    return asks(serverName, disclosures);
  };

  private async look(): Promise<void> {
    this.pause(true);
    const { avatarDialog } = await import("./ui/avatar");
    avatarDialog(this.who, () => this.keep(), (changed) => {
      this.pause(false);
      // Another node learns of a body when somebody comes in: they do so once more, where they stand.
      if (!changed || this.host.isHome) return;
      this.visit?.renew().catch((error: unknown) => {
        console.warn("the body that is worn now is not shown yet", error);
        notice(t("hud.look_later", { node: this.host.serverName }));
      });
    });
  }

  private keep(): void {
    const kept = (member: Session): void => {
      this.who = member;
      this.doors.session(member);
      this.redraw();
      void this.company?.join();
    };
    // The dialog may take the place of another one, which lets the keys go.
    keepDialog(this.node, this.who, kept, () => this.pause(false));
    this.pause(true);
  }

  private async invite(): Promise<void> {
    try {
      const { host, target, who } = this;
      if (!target.public && !who.guest) {
        await this.inviteByName(host.page(target));
        return;
      }
      const { link, about } = await host.way(target, who);
      linkDialog(link, about, () => this.pause(false));
      this.pause(true);
    } catch (error) {
      notice(words(error), "bad");
    }
  }

  /** Into a private world comes who is invited by name. */
  private async inviteByName(link: string): Promise<void> {
    const { inviteDialog } = await import("./ui/invite");
    const serverName = this.node.server_name;
    inviteDialog(this.target, this.who, { serverName, link, closed: () => this.pause(false) });
    this.pause(true);
  }

  state(state: State): void {
    this.newest = state;
    this.hud?.state(state);
    if (!this.entered && state.kind === "waiting") {
      this.loading.say(state.error ? this.doorWords(state.error) : byeWords(state.reason));
    }
    if (state.kind !== "over") return;
    this.company?.left();
    const { error, reason } = state;
    if (error) this.failed(error);
    else if (reason === SIGNED_OUT && this.host.isHome) this.signedOut();
    else this.end(t("over.title", { world: this.target.name }), byeWords(reason), reason !== 5);
  }

  failed(error: unknown): void {
    if (error instanceof ApiError && error.status === 401) {
      this.signedOut();
      return;
    }
    if (error instanceof ApiError || error instanceof UntoldError) {
      // Whoever was in and is not let in again stands before the same door as others.
      const isThere = error instanceof UntoldError || error.status !== 404;
      this.stop();
      this.doors.refused(isThere ? error : null);
      return;
    }
    report({ phase: "error", error: String(error) });
    const why = error instanceof SceneError ? t(`error.scene_${error.why}`) : words(error);
    this.end(t("error.title"), why, !(error instanceof SceneError) || error.why === "unreachable");
  }

  /** Why somebody does not come in, for now or for good. */
  private doorWords(error: unknown): string {
    if (error instanceof UntoldError) {
      return t(`travel.${error.why}`, { node: this.host.serverName, home: this.node.server_name });
    }
    const isFull = error instanceof ApiError && error.status === 503 && error.code === "M_LIMIT_EXCEEDED";
    return isFull ? t("bye.11") : words(error);
  }

  /** Says why the visit is over and what can be done. */
  private end(title: string, why: string, canReturn: boolean): void {
    report({ phase: "over" });
    this.hud?.dispose();
    this.loading.element.remove();
    const back = (): void => {
      this.stop();
      this.doors.again(this.target);
    };
    overCard(this.place, title, why, { back: canReturn ? back : null, list: () => this.leave() });
  }

  people(): void {
    this.hud?.people();
  }

  chat(line: Parameters<Audience["chat"]>[0]): void {
    this.hud?.chat.update(line, this.who.userId);
  }

  heard(trouble: { error: unknown } | null): void {
    this.unheard = trouble && t("travel.unheard", { why: this.doorWords(trouble.error) });
    this.hud?.chat.heard(this.unheard);
  }

  seat(hint: "sit" | "stand" | null): void {
    this.hud?.seat(hint);
  }

  refused(_asked: number, reason: number): void {
    const key = `refused.${reason}`;
    if (isKey(key)) notice(t(key), "bad");
  }

  walked(): void {
    this.hud?.walked();
  }

  portal(): void {
    this.portals?.heard();
  }

  /** Says what a node has to say of somebody's body, where this page has words for it. */
  notice(code: string): void {
    void loadMore("bodies").then(() => {
      const key = code.replace("_", ".");
      if (!this.over && key.startsWith("body.") && isKey(key)) notice(t(key), "bad");
    }, console.warn);
  }

  focusChat(): void {
    this.hud?.chat.focus();
  }

  escape(): void {
    if (!dialogIsOpen()) this.hud?.closeList();
  }

  private signedOut(): void {
    this.stop();
    this.doors.signedOut();
  }

  private stop(): void {
    this.over = true;
    this.unlisten();
    this.company?.dispose();
    this.passage.cancel();
    this.portals?.dispose();
    this.hud?.dispose();
    this.visit?.leave();
    reportVisit(null);
  }

  quit(): void {
    if (!this.over) this.stop();
  }

  private leave(): void {
    this.stop();
    this.doors.left();
  }
}

function goalOf(portal: Portal): Goal {
  return { address: { name: portal.address, serverName: portal.serverName }, name: titleOf(portal), back: false };
}
