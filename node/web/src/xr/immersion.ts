// A visit through a headset: the person moves in their room, by stick, and by pointing.
import { Euler, Group, Quaternion, Vector3 } from "three";
import type { Intent } from "../me/input";
import { turnBetween } from "../net/interpolation";
import type { Part, Tracked } from "../net/pose";
import type { Visit } from "../visit/visit";
import { Hands, type Side, type Trigger } from "./hands";
import { Panel } from "./panel";
import { Pointing } from "./pointing";

const SNAP = Math.PI / 6;
const DEAD_ZONE = 0.25;
const PUSHED = 0.7;
const RELEASED = 0.35;
const RUN_FROM = 0.92;
/** The body follows the head when it has turned so far. */
const BODY_LAG = 0.5;
const BEHIND = new Quaternion().setFromEuler(new Euler(0, Math.PI, 0));
const UP = new Vector3(0, 1, 0);

const head = new Vector3();
const local = new Vector3();
const turn = new Quaternion();
const look = new Vector3();

/** One stay in a headset: made with the click that asks for it, and used up when it ends. */
export class Immersion {
  private readonly rig = new Group();
  private hands: Hands | null = null;
  private readonly panel: Panel;
  private readonly pointing: Pointing;
  private readonly before = new Vector3();
  private yaw = 0;
  private snapped = false;
  /** The hand that points to a place, and whether by its stick or by its trigger. */
  private aim: { side: Side; stick: boolean } | null = null;
  private pressed = false;
  private known = false;

  constructor(private readonly visit: Visit) {
    const { renderer } = visit.stage;
    this.panel = new Panel(visit, () => this.hands?.bare ?? false, () => void renderer.xr.getSession()?.end());
    this.rig.add(this.panel.mesh);
    this.pointing = new Pointing(visit);
  }

  /** Must be called from a click: browsers let nobody into a headset otherwise. */
  async begin(): Promise<void> {
    const { visit, rig } = this;
    const { xr } = visit.stage.renderer;
    const session = await this.asked();
    if (!session) return;
    session.addEventListener("end", () => this.end());
    this.hands = new Hands(visit.stage.renderer, rig);
    this.hands.listen(
      (trigger) => this.press(trigger),
      (trigger) => this.release(trigger),
    );
    xr.setReferenceSpaceType("local-floor");
    await xr.setSession(session);
    rig.add(visit.stage.camera);
    visit.stage.scene.add(rig, this.pointing.group);
    this.yaw = (visit.view?.yaw ?? 0) - Math.PI;
    this.known = false;
    visit.own.body.model(false);
    visit.immersive = (seconds, intent) => this.frame(seconds, intent);
    visit.trackedPose = () => this.tracked();
  }

  private async asked(): Promise<XRSession | undefined> {
    try {
      return await navigator.xr?.requestSession("immersive-vr", {
        requiredFeatures: ["local-floor"],
        optionalFeatures: ["hand-tracking"],
      });
    } catch (error) {
      this.discard();
      throw error;
    }
  }

  private discard(): void {
    this.panel.dispose();
    this.pointing.dispose();
  }

  private end(): void {
    const { visit, rig } = this;
    visit.immersive = null;
    visit.trackedPose = null;
    this.hands?.dispose();
    this.hands = null;
    this.aim = null;
    rig.remove(visit.stage.camera);
    rig.removeFromParent();
    this.pointing.group.removeFromParent();
    this.discard();
    visit.own.body.model(true);
    if (visit.view) visit.view.yaw = this.yaw + Math.PI;
    visit.stage.resize();
  }

  private frame(seconds: number, intent: Intent): void {
    const { hands } = this;
    const { walker } = this.visit;
    if (!walker || !hands) return;
    // Who lets go of a hand that pointed, or whose battery dies, goes nowhere.
    if (this.aim && !hands.has(this.aim.side)) this.aim = null;
    this.readHead();
    this.follow();
    this.sticks(hands, intent);
    const view = this.yaw + this.headYaw() + Math.PI;
    if (walker.seated && (intent.forward !== 0 || intent.aside !== 0)) this.visit.sitOrStand();
    const lag = turnBetween(walker.yaw, view);
    const facing = Math.abs(lag) > BODY_LAG ? view - Math.sign(lag) * BODY_LAG : walker.yaw;
    walker.update(seconds, intent, view, facing);
    this.place();
    this.panel.update(seconds);
    hands.point(this.panel);
    if (this.aim) this.pointing.aim(hands.ray(this.aim.side), seconds);
    this.pointing.show(this.aim !== null);
  }

  private readHead(): void {
    head.copy(this.visit.stage.camera.position);
    turn.copy(this.visit.stage.camera.quaternion);
  }

  private headYaw(): number {
    look.set(0, 0, -1).applyQuaternion(turn);
    return Math.atan2(-look.x, -look.z);
  }

  /** Who steps aside in their room steps aside in the world, as far as its walls let them. */
  private follow(): void {
    const { walker, scene } = this.visit;
    if (!walker || !scene) return;
    if (this.known && !walker.seated) {
      local.subVectors(head, this.before).setY(0).applyAxisAngle(UP, this.yaw);
      if (local.lengthSq() > 1e-8 && local.lengthSq() < 1) {
        scene.solid.slide(walker.feet, local.x, local.z, true);
      }
    }
    this.before.copy(head);
    this.known = true;
  }

  private sticks(hands: Hands, intent: Intent): void {
    const { left, right, buttons } = hands.read();
    if (Math.hypot(left[0], left[1]) > DEAD_ZONE) {
      intent.forward = -left[1];
      intent.aside = left[0];
      intent.run = Math.hypot(left[0], left[1]) > RUN_FROM;
      this.panel.hide();
    }
    if (Math.abs(right[0]) > PUSHED && !this.snapped && !this.aim) {
      this.yaw -= Math.sign(right[0]) * SNAP;
      this.snapped = true;
    }
    if (Math.abs(right[0]) < RELEASED) this.snapped = false;
    if (-right[1] > PUSHED && !this.aim) this.begins("right", true);
    if (this.aim?.stick && -right[1] < RELEASED) this.go();
    if (buttons && !this.pressed) this.panel.toggle(head, this.headYaw());
    this.pressed = buttons;
  }

  /** The room stands in the world so that the head is over the feet. */
  private place(): void {
    const { walker } = this.visit;
    if (!walker) return;
    local.set(head.x, 0, head.z).applyAxisAngle(UP, this.yaw);
    this.rig.position.copy(walker.shown).sub(local);
    this.rig.rotation.y = this.yaw;
    this.rig.updateMatrixWorld(true);
  }

  /** A trigger works the panel, or points; of bare hands the left one calls the panel. */
  private press({ side, pinch }: Trigger): void {
    if (this.hands?.press(side, this.panel)) return;
    if (pinch && side === "left") this.panel.toggle(head, this.headYaw());
    else if (!this.aim) this.begins(side, false);
  }

  private release({ side }: Trigger): void {
    if (this.aim?.side === side && !this.aim.stick) this.go();
  }

  /** Who points to a place wants to see it: the panel makes way. */
  private begins(side: Side, stick: boolean): void {
    this.aim = { side, stick };
    this.panel.hide();
  }

  private go(): void {
    this.aim = null;
    this.pointing.go();
  }

  private tracked(): Tracked {
    return {
      head: this.part(head, turn),
      left: this.hands?.part("left", (at, to) => this.part(at, to)) ?? null,
      right: this.hands?.part("right", (at, to) => this.part(at, to)) ?? null,
    };
  }

  /** From the frame of the room to that of the body. */
  private part(at: Vector3, to: Quaternion): Part {
    const { walker } = this.visit;
    const yaw = walker?.yaw ?? 0;
    const feet = walker?.shown ?? head;
    const place = at.clone().applyAxisAngle(UP, this.yaw).add(this.rig.position).sub(feet);
    place.applyAxisAngle(UP, -yaw);
    const inBody = new Quaternion().setFromAxisAngle(UP, this.yaw - yaw).multiply(to).multiply(BEHIND);
    return { position: place.toArray(), turn: inBody.toArray() };
  }
}
