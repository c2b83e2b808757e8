// A visit to a world: what the node says and what the person asks, put together in every frame.
import { Vector3 } from "three";
import { ApiError } from "../api/http";
import { readEvent, type Said } from "../api/chat";
import type { Visit as Ticket, World } from "../api/node";
import { PORTAL } from "../api/portals";
import type { Session } from "../api/session";
import { Crowd, EMOTES } from "../bodies/crowd";
import { Input, type Intent } from "../me/input";
import { View } from "../me/view";
import { Walker } from "../me/walker";
import { TickClock } from "../net/clock";
import { type ClientFrame, type Entered, NO_SEAT, type NodeFrame, type Welcome, type WornBadge } from "../net/codec";
import { Connection, type State } from "../net/connection";
import type { Pose } from "../net/pose";
import type { Consent } from "../travel/disclosure";
import type { Host } from "../travel/host";
import { sceneOf } from "../world/backstage";
import { type LoadedScene, SceneError, type Seat } from "../world/scene";
import { nearest, seatedPoint } from "../world/seats";
import type { Stage } from "../world/stage";
import { Blocking } from "./blocking";
import { ChatLog, type Line } from "./chatlog";
import { FrameTimes } from "./frames";
import { OwnBody } from "./own";
import { Speech } from "./speech";
import { wornOf } from "./worn";

/** What the page shows of a visit. */
export interface Audience {
  world(world: World): void;
  progress(loaded: number, total: number): void;
  building(): void;
  ready(): void;
  state(state: State): void;
  people(): void;
  chat(line: Line | null): void;
  /** Whether the person is in the room of the chat: null, or why not. */
  heard(trouble: { error: unknown } | null): void;
  seat(hint: "sit" | "stand" | null): void;
  refused(asked: number, reason: number): void;
  failed(error: unknown): void;
  walked(): void;
  /** Asks the person whether the node of this world is shown what it asks to see. */
  readonly consent: Consent;
  /** A portal of this world was set up, changed or removed. */
  portal(): void;
  /** The node says something about the person themselves. */
  notice(code: string): void;
  focusChat(): void;
  escape(): void;
}

const INPUT_MS = 1000 / 30;
const STILL_MS = 1000;
/** A frame later than this is not caught up with. */
const LONGEST_FRAME_S = 0.25;
const STEP_S = 1 / 30;

/** Nobody reads their own name over their head. */
const NAMELESS = { name: "", badges: [] };

const feet = new Vector3();

export class Visit {
  readonly chat: ChatLog;
  readonly speech: Speech;
  readonly crowd: Crowd;
  readonly own: OwnBody;
  readonly frames = new FrameTimes();
  readonly connection: Connection;
  readonly input: Input;
  world: World;
  scene: LoadedScene | null = null;
  walker: Walker | null = null;
  view: View | null = null;
  slot = -1;
  seat: Seat | null = null;
  /** What others here see that the person was given. */
  badges: readonly WornBadge[] = [];
  /** Replaces what keyboard and camera do while a headset is worn. */
  immersive: ((seconds: number, intent: Intent) => void) | null = null;
  /** What else happens in every frame, once the person has moved in it. */
  beside: ((seconds: number, nowMs: number, perPixel: number) => void) | null = null;
  private clock = new TickClock(30);
  private welcome: Welcome | null = null;
  private sequence = 0;
  private sentMs = 0;
  private lastSent = "";
  private lastMs = 0;
  private stepped = false;
  private hint: "sit" | "stand" | null = null;
  private standAsked = false;
  readonly blocking = new Blocking(() => this.connection);
  private hidden: ReadonlySet<string> = new Set();
  private ended = false;

  constructor(
    readonly stage: Stage,
    readonly host: Host,
    target: World,
    readonly session: Session,
    private readonly audience: Audience,
    /** A ticket that is there already, which is used first. */
    private ticket: Ticket | null = null,
  ) {
    this.world = target;
    this.chat = new ChatLog(session.userId);
    this.chat.name(session.userId, session.name);
    this.speech = new Speech(this, audience);
    this.crowd = new Crowd(this.stage.scene, host.serverName);
    this.own = new OwnBody(session.userId, this.stage.camera);
    this.own.body.group.visible = false;
    this.stage.scene.add(this.own.body.group);
    this.input = new Input(stage.canvas, {
      sit: () => this.sitOrStand(),
      view: () => this.view?.toggle(),
      chat: () => audience.focusChat(),
      emote: (number) => this.emote(number),
      escape: () => audience.escape(),
    });
    this.connection = new Connection({
      door: () => this.door(),
      verdict: (error) => verdict(error),
      frame: (frame) => this.hear(frame),
      state: (state) => audience.state(state),
    });
    window.addEventListener("resize", this.resize);
    void this.load();
  }

  private async door(): Promise<{ ticket: string; url: string }> {
    if (!this.ticket) this.blocking.asks();
    const ticket = this.ticket ?? (await this.host.admit(this.world.room_id, this.session, this.audience.consent));
    this.ticket = null;
    this.blocking.begins(ticket.blocks === true && !this.host.isHome);
    this.world = ticket.world;
    this.audience.world(ticket.world);
    this.speech.listen();
    const way = ticket.transports.find((one) => one.kind === "websocket");
    if (!way) throw new ApiError(400, "M_WAYSIDE_TRANSPORT", "no transport", null, {});
    return { ticket: ticket.ticket, url: way.url };
  }

  private async load(): Promise<void> {
    const { audience, stage } = this;
    try {
      const { url, bytes } = this.world.scene;
      const scene = await sceneOf(url, bytes, (loaded, total) => audience.progress(loaded, total));
      if (this.ended) return;
      audience.building();
      performance.mark("wayside:scene-read");
      await stage.show(scene);
      if (this.ended) return;
      performance.mark("wayside:scene-shown");
      this.scene = scene;
      this.crowd.seats = scene.seats;
      this.walker = new Walker(scene.solid);
      this.view = new View(scene.solid);
      for (const { entered } of this.crowd.people.values()) this.crowd.seated(entered.slot, entered.seat);
      this.begin();
    } catch (error) {
      if (!this.ended) audience.failed(error instanceof SceneError ? error : new SceneError("broken", error));
    }
  }

  /** Starts as soon as there is both a scene and a place in it. */
  private begin(): void {
    const { welcome, walker, view } = this;
    if (!welcome || !walker || !view) return;
    walker.place(welcome.pose);
    walker.yaw = welcome.pose.yaw;
    const fresh = this.lastMs === 0;
    this.own.body.group.visible = true;
    if (!fresh) return;
    view.yaw = welcome.pose.yaw;
    walker.shown.copy(walker.feet);
    this.lastMs = performance.now();
    this.stage.renderer.setAnimationLoop((nowMs) => this.frame(nowMs));
    this.audience.ready();
  }

  private hear(frame: NodeFrame): void {
    const nowMs = performance.now();
    const { crowd, audience } = this;
    switch (frame.kind) {
      case "welcome":
        this.clock = new TickClock(frame.tickHz);
        this.clock.heard(frame.tick, nowMs);
        this.welcome = frame;
        this.slot = frame.slot;
        crowd.renew(nowMs);
        this.seatOwn(null);
        this.begin();
        this.blocking.tell();
        break;
      case "snapshot":
        this.clock.heard(frame.tick, nowMs);
        for (const { slot, pose } of frame.bodies) {
          if (slot !== this.slot) crowd.pose(slot, pose, this.clock.timeOf(frame.tick));
        }
        break;
      case "entered":
        this.entered({ ...frame, avatar: this.host.at(frame.avatar), fallback: this.host.at(frame.fallback), badges: wornOf(frame.badges) });
        break;
      case "left":
        crowd.left(frame.slot);
        audience.people();
        break;
      case "emoted": {
        const name = EMOTES[frame.emote];
        if (frame.slot === this.slot && name) this.own.body.emote(name, nowMs);
        else crowd.emoted(frame.slot, frame.emote, nowMs);
        break;
      }
      case "correction":
        this.walker?.place(frame.pose);
        break;
      case "seated":
        if (frame.slot === this.slot) this.seatOwn(frame.seat);
        else crowd.seated(frame.slot, frame.seat);
        break;
      case "refused":
        this.standAsked = false;
        audience.refused(frame.asked, frame.reason);
        break;
      case "event":
        this.hearEvent(frame.event, nowMs);
        break;
      case "notice":
        audience.notice(frame.code);
        break;
      default:
        break;
    }
  }

  private entered(entered: Entered): void {
    const { userId, name, avatar, fallback, badges } = entered;
    this.chat.name(userId, name);
    if (entered.own || entered.slot === this.slot) {
      this.badges = badges;
      void this.own.body.wear(avatar, fallback);
    } else {
      this.crowd.entered(entered);
    }
    this.audience.people();
  }

  private hearEvent(text: string, nowMs: number): void {
    let said: Said | null;
    try {
      const event: unknown = JSON.parse(text);
      if (isPortal(event)) {
        this.audience.portal();
        return;
      }
      said = readEvent(event);
    } catch (error) {
      console.warn("an event of the room cannot be read", error);
      return;
    }
    // What is encrypted is heard from the device, where there is one.
    if (said && !(said.kind === "unreadable" && this.speech.speaker)) this.take(said, nowMs);
  }

  /** Takes in what was said here. */
  take(said: Said, nowMs = performance.now()): void {
    const line = this.chat.take(said);
    if (line && !line.unreadable) this.bubble(line, nowMs);
    this.audience.chat(line);
  }

  bubble(line: Line, nowMs: number): void {
    const body =
      line.sender === this.session.userId ? this.own.body : this.crowd.byUser(line.sender)?.body;
    body?.say(line.body, nowMs);
  }

  private seatOwn(place: number | null): void {
    const { walker, scene } = this;
    this.standAsked = false;
    this.seat = scene?.seats.find((seat) => seat.place === place) ?? null;
    if (!walker) return;
    walker.seated = this.seat !== null;
    if (!this.seat) return;
    walker.yaw = this.seat.yaw;
    this.own.body.seatedAt(this.seat, walker.seat);
    seatedPoint(this.seat, walker.feet);
  }

  private frame(nowMs: number): void {
    const started = performance.now();
    const { walker, view, stage, own } = this;
    if (!walker || !view) return;
    const frameMs = nowMs - this.lastMs;
    this.lastMs = nowMs;
    const seconds = Math.min(LONGEST_FRAME_S, Math.max(0.001, frameMs / 1000));
    const intent = this.input.read(seconds);
    if (this.immersive) this.immersive(seconds, intent);
    else this.walk(seconds, intent, walker, view);
    const inside = view.firstPerson || stage.renderer.xr.isPresenting;
    own.update(walker, view, inside, seconds, started);
    if (this.seat) own.body.seatedAt(this.seat, walker.seat);
    if (!this.immersive) view.follow(stage.camera, walker.shown, own.eyes, seconds);
    stage.camera.updateMatrixWorld();
    const perPixel = this.perPixel();
    const above = stage.camera.position.distanceTo(own.body.group.position);
    own.body.label(NAMELESS, false, above, perPixel, started);
    this.crowd.update(seconds, started, stage.camera, perPixel);
    this.beside?.(seconds, nowMs, perPixel);
    stage.update(walker.shown, seconds, nowMs / 1000);
    this.tell(started);
    this.suggest();
    stage.render();
    stage.pace(frameMs);
    this.frames.add(frameMs);
  }

  private walk(seconds: number, intent: Intent, walker: Walker, view: View): void {
    const moves = intent.forward !== 0 || intent.aside !== 0;
    if (walker.seated && (moves || intent.jump)) this.stand();
    view.turn(intent);
    const facing = view.firstPerson ? view.yaw : null;
    // A slow machine moves in several short steps, so that it still meets every wall.
    for (let left = seconds; left > 1e-4; left -= STEP_S) {
      walker.update(Math.min(left, STEP_S), intent, view.yaw, facing);
      intent.jump = false;
    }
    if (moves && !this.stepped && walker.speed > 0.2) {
      this.stepped = true;
      performance.mark("wayside:first-step");
      this.audience.walked();
    }
  }

  /** How large a pixel of the page is at a metre's distance. */
  private perPixel(): number {
    const { camera, renderer } = this.stage;
    if (renderer.xr.isPresenting) return 0.0016;
    return (2 * Math.tan((camera.fov * Math.PI) / 360)) / window.innerHeight;
  }

  private tell(nowMs: number): void {
    const { walker, own, connection } = this;
    if (!walker || !connection.isOpen || nowMs - this.sentMs < INPUT_MS - 2) return;
    const pose: Pose = walker.pose(own.lookYaw, own.lookPitch);
    if (this.trackedPose) pose.tracked = this.trackedPose();
    const { x, y, z, yaw, lookYaw, lookPitch, motion } = pose;
    const now = [x, y, z, yaw, lookYaw, lookPitch].map((part) => part.toFixed(2)).join() + motion;
    const still = now === this.lastSent && !pose.jumped && !pose.tracked;
    if (still && nowMs - this.sentMs < STILL_MS) return;
    this.lastSent = now;
    this.sentMs = nowMs;
    this.sequence = (this.sequence + 1) & 0xffff;
    this.send({ kind: "input", sequence: this.sequence, pose });
  }

  /** Where head and hands are, while a headset is worn. */
  trackedPose: (() => Pose["tracked"]) | null = null;

  private send(frame: ClientFrame): void {
    this.connection.send(frame);
  }

  private suggest(): void {
    const hint = this.seat ? "stand" : this.freeSeat() ? "sit" : null;
    if (hint === this.hint) return;
    this.hint = hint;
    this.audience.seat(hint);
  }

  private freeSeat(): Seat | null {
    const { scene, walker, crowd } = this;
    if (!scene || !walker || !walker.grounded) return null;
    return nearest(scene.seats, feet.copy(walker.feet), (place) => crowd.takes(place));
  }

  sitOrStand(): void {
    if (this.seat) {
      this.stand();
      return;
    }
    const seat = this.freeSeat();
    if (seat && seat.place !== NO_SEAT) this.send({ kind: "sit", seat: seat.place });
  }

  private stand(): void {
    if (this.standAsked) return;
    this.standAsked = true;
    this.send({ kind: "stand" });
  }

  emote(number: number): void {
    this.send({ kind: "emote", emote: number });
  }

  jump(): void {
    this.input.askJump();
  }

  /** Shows nothing any more of what those people say, and again what others said who were among them. */
  hide(people: ReadonlySet<string>): void {
    const isBack = [...this.hidden].some((userId) => !people.has(userId));
    this.hidden = people;
    this.chat.hide(people);
    this.audience.chat(null);
    if (isBack) void this.speech.readHistory();
  }

  /** Comes in once more, unseen by the person, so that the node asks anew what it knows of them. */
  renew(): Promise<void> {
    return this.connection.renew();
  }

  private readonly resize = (): void => this.stage.resize();

  leave(): void {
    this.ended = true;
    this.blocking.dispose();
    this.connection.leave();
    this.input.dispose();
    this.crowd.clear();
    this.own.body.dispose();
    window.removeEventListener("resize", this.resize);
    this.stage.clear();
  }
}

function isPortal(event: unknown): boolean {
  return typeof event === "object" && event !== null && (event as { type?: unknown }).type === PORTAL;
}

function verdict(error: unknown): { over: boolean; waitMs: number } {
  if (!(error instanceof ApiError)) return { over: true, waitMs: 0 };
  const waits = error.unreachable || error.status === 429 || error.status >= 500;
  return { over: !waits, waitMs: error.retryAfterMs ?? 0 };
}
