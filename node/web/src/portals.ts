// The portals of the world that somebody is in: asked for, seen, listed, and walked through.
import { Vector3 } from "three";
import type { NodeInfo } from "./api/node";
import type { Portal } from "./api/portals";
import type { Session } from "./api/session";
import { count, loadMore, t } from "./i18n";
import type { Outcome } from "./passage";
import { hue } from "./people";
import { type Address, titleOf } from "./travel/address";
import type { Host } from "./travel/host";
import { words } from "./ui/errors";
import type { PortalsDialog } from "./ui/portals";
import { dialogIsOpen, notice } from "./ui/shell";
import { BACK_M, BEFORE_M, before, Crossing, isBehind, seenFrom } from "./visit/crossing";
import type { Visit } from "./visit/visit";
import { PortalViews, type Standing } from "./world/portals";
import type { Places } from "./world/scene";

export interface PortalDoors {
  /** Goes where one leads, once the way is open. */
  go(portal: Portal): Promise<Outcome>;
  /** Keys rest while the list is open. */
  pause(yes: boolean): void;
  /** The node of a world to which one might lead. */
  host(address: Address): Promise<Host>;
}

/** The node itself asks those of the targets no more often than each 15 s. */
const AGAIN_MS = 30_000;
/** Whoever is so near sees how many people are there. */
const NEAR_M = 12;
/** Several changes in a row are asked for once, and however many there are, no more often than this. */
const REST_MS = 400;
const LEAST_MS = 2_000;
/** For so long the sign of a portal says why somebody was not let through, and nobody is asked again. */
const SAYS_WHY_MS = 6_000;

type Seen = Standing & { portal: Portal };

/** Somebody before a surface that does not let them through yet. */
interface Held {
  gate: Seen;
  from: Parameters<typeof isBehind>[2];
}

export class WorldPortals {
  private all: readonly Portal[] = [];
  private standing: Seen[] = [];
  private readonly views = new PortalViews();
  private crossing = new Crossing(performance.now());
  private held: Held | null = null;
  private readonly refused = new Map<string, { why: string; untilMs: number }>();
  private dialog: PortalsDialog | null = null;
  private askedMs = -Infinity;
  private asking = false;
  private resting: ReturnType<typeof setTimeout> | undefined;
  private ended = false;

  constructor(
    private readonly visit: Visit,
    private readonly session: () => Session,
    private readonly node: NodeInfo,
    private readonly doors: PortalDoors,
  ) {}

  /** The person stands in the world. */
  begin(): void {
    const { visit } = this;
    this.crossing = new Crossing(performance.now());
    visit.stage.scene.add(this.views.group);
    visit.beside = (seconds, nowMs, perPixel) => this.frame(seconds, nowMs, perPixel);
    void this.ask();
  }

  /** Something about them has changed. */
  heard(): void {
    clearTimeout(this.resting);
    const sinceMs = performance.now() - this.askedMs;
    this.resting = setTimeout(() => void this.ask(), Math.max(REST_MS, LEAST_MS - sinceMs));
  }

  private async ask(): Promise<void> {
    if (this.asking) {
      this.heard();
      return;
    }
    this.asking = true;
    this.askedMs = performance.now();
    try {
      const { host, world } = this.visit;
      const all = await host.portals(world.room_id, this.session());
      if (all.length > 0) await loadMore("portals");
      if (this.ended) return;
      this.all = all;
      this.redraw();
      this.dialog?.update(all, this.freePlaces());
    } catch (error) {
      // What was seen before is seen still.
      console.warn("the portals of this world are not known", error);
      this.dialog?.failed(error);
    } finally {
      this.asking = false;
    }
  }

  /** Shows what is known, in the language of now. */
  redraw(): void {
    const { scene, host } = this.visit;
    if (!scene) return;
    this.standing = standing(this.all, scene.places, host.serverName).map((one) => {
      const refused = this.refused.get(one.id);
      return refused ? { ...one, trouble: refused.why } : one;
    });
    this.views.show(this.standing);
  }

  private frame(seconds: number, nowMs: number, perPixel: number): void {
    const { walker, stage } = this.visit;
    if (!walker) return;
    const { feet } = walker;
    const through = this.crossing.step(this.standing, feet, nowMs);
    if (through && !walker.seated) this.enter({ gate: through.gate, from: through.from });
    const { held } = this;
    if (held && isBehind(held.gate, feet, held.from)) this.putBefore(held, BEFORE_M);
    this.views.update(seconds, nowMs / 1000, stage.camera, perPixel);
    this.forgive(nowMs);
    const isNear = this.standing.some(({ at }) => at.distanceTo(feet) < NEAR_M);
    if ((isNear || this.dialog) && nowMs - this.askedMs > AGAIN_MS) void this.ask();
  }

  private enter(held: Held): void {
    const { gate } = held;
    // Who is on the way already goes on by that.
    if (this.held?.gate.id === gate.id) return;
    if (this.refused.has(gate.id)) {
      this.putBefore(held, BACK_M);
      return;
    }
    this.held = held;
    this.views.opening = gate.id;
    this.putBefore(held, BEFORE_M);
    void this.doors.go(gate.portal).then((outcome) => {
      if (this.held !== held) return;
      this.held = null;
      this.views.opening = null;
      if (outcome.gone || this.ended) return;
      this.stepBack(held);
      if (outcome.why === null) return;
      this.refused.set(gate.id, { why: outcome.why, untilMs: performance.now() + SAYS_WHY_MS });
      this.redraw();
    });
  }

  /** Whoever waited before the surface stands a step away from it. */
  private stepBack(held: Held): void {
    const { walker } = this.visit;
    if (walker && Math.abs(seenFrom(held.gate, walker.feet).out) < BACK_M) this.putBefore(held, BACK_M);
  }

  private putBefore({ gate, from }: Held, distance: number): void {
    const { walker } = this.visit;
    if (!walker) return;
    walker.place({ y: walker.feet.y, ...before(gate, from, distance) });
    this.crossing.moved();
  }

  private forgive(nowMs: number): void {
    let changed = false;
    for (const [id, { untilMs }] of this.refused) {
      if (untilMs < nowMs) changed = this.refused.delete(id);
    }
    if (changed) this.redraw();
  }

  /** The list of them, and how whoever may do so changes it. */
  async open(): Promise<void> {
    const { visit, node } = this;
    this.doors.pause(true);
    try {
      const [{ PortalsDialog }] = await Promise.all([import("./ui/portals"), loadMore("portals")]);
      if (this.ended) return;
      this.dialog = new PortalsDialog(visit, this.session(), node, {
        go: (portal) => void this.doors.go(portal),
        changed: () => this.ask(),
        host: this.doors.host,
        closed: () => {
          this.dialog = null;
          this.doors.pause(dialogIsOpen());
        },
      });
      // Another dialog that made way for it has let the keys go.
      this.doors.pause(true);
      this.dialog.update(this.askedMs > 0 ? this.all : null, this.freePlaces());
      void this.ask();
    } catch (error) {
      console.error(error);
      this.doors.pause(false);
      notice(words(error), "bad");
    }
  }

  /** Arches of the scene in which none stands yet. */
  private freePlaces(): string[] {
    const taken = new Set(this.all.map(({ node }) => node));
    return [...(this.visit.scene?.places.keys() ?? [])].filter((name) => /^portal_\d+$/.test(name) && !taken.has(name));
  }

  dispose(): void {
    this.ended = true;
    clearTimeout(this.resting);
    this.visit.beside = null;
    this.views.dispose();
  }
}

/** Those that stand somewhere, of which only one fits into an arch. */
function standing(all: readonly Portal[], places: Places, serverName: string): Seen[] {
  const taken = new Set<string>();
  return all.flatMap((portal) => {
    const where = whereOf(portal, places);
    if (!where) return [];
    const place = `${where.at.toArray().join()} ${where.yaw}`;
    if (taken.has(place)) return [];
    taken.add(place);
    // One that was moved is another one to whoever stands there.
    return [{ ...where, id: `${portal.id} ${place}`, portal, ...signOf(portal, serverName) }];
  });
}

function whereOf({ node, position, yaw }: Portal, places: Places): Pick<Standing, "at" | "yaw" | "own"> | null {
  const named = node === null ? undefined : places.get(node);
  if (named) return { ...named, own: false };
  if (!position) return null;
  const at = new Vector3(...position);
  return { at, yaw: yaw ?? 0, own: true };
}

/** What is read and seen of one. */
function signOf(portal: Portal, serverName: string): Pick<Standing, "name" | "lines" | "trouble" | "picture" | "hue"> {
  const { target, trouble, serverName: node, address } = portal;
  const name = titleOf(portal);
  const lines = [
    target && target.name !== name ? target.name : "",
    node === serverName ? "" : t("portals.at", { node }),
    target ? (target.people > 0 ? count("people", target.people) : t("worlds.nobody")) : "",
  ].filter((line) => line !== "");
  const why = trouble === null ? null : t(`portals.sign_${trouble}`, { node });
  return { name, lines, trouble: why, picture: target?.preview ?? null, hue: hue(address) };
}
