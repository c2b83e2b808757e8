// One body in the scene: what it wears, how it moves, where it looks, and what hangs over its head.
import type { VRM } from "@pixiv/three-vrm";
import { Group, type Object3D, Quaternion, Vector3 } from "three";
import type { Entered } from "../net/codec";
import { seatRoot } from "../world/seats";
import type { Seat } from "../world/scene";
import { Animator, type Doing } from "./animator";
import { Label } from "./labels";
import { discard, heightOf, loadVrm } from "./library";
import { loadMotions, type MotionName } from "./motions";
import { makePlaceholder } from "./placeholder";

const UP = new Vector3(0, 1, 0);
const RIGHT = new Vector3(1, 0, 0);
/** A look is shared out between the neck and the head. */
const NECK_SHARE = 0.4;
const LOOK_LIMIT = 1.15;
const BUBBLE_MS = 6000;
const BUBBLE_PER_LETTER_MS = 60;

/** What is over the bone of the head, at least and at most, and how far above that a name is. */
const LEAST_HEAD_M = 0.15;
const MOST_HEAD_M = 1.2;
const PLATE_M = 0.06;
/** How fast a name follows the head, per second: with who sits down, but not with every step. */
const PLATE_FOLLOWS = 5;
/** Eyes over the bone of the head, where a model does not say. */
const EYES_M = 0.06;

/** What stands over a head: a name, and a sign where somebody shows badges. */
type Plate = Pick<Entered, "name" | "badges">;

const turn = new Quaternion();
const hips = new Vector3();

export class Body {
  readonly group = new Group();
  readonly doing: Doing = { speed: 0, air: false, sits: false, emote: null };
  lookYaw = 0;
  lookPitch = 0;
  /** Which file is seen now, and whether it only stands in for another. */
  shownUrl: string | null = null;
  isFallback = true;
  vrm: VRM | null = null;
  /** Where what is written over the head begins, over the bone of the head and over the ground. */
  private overHead = 0.2;
  private plate = 1.66;
  /** Height of the eyes. */
  eyes = 1.5;
  private readonly name = new Label("name");
  private readonly bubble = new Label("bubble");
  private bubbleUntilMs = 0;
  private emoteUntilMs = 0;
  private figure: Object3D;
  private animator: Animator | null = null;
  private wish = 0;
  private blinkS = 2 + Math.random() * 3;
  private ended = false;
  /** Animated since its bones were last placed. */
  private fresh = true;
  seat: Seat | null = null;
  /** Called whenever another model is seen. */
  onModel: (vrm: VRM) => void = () => {};

  constructor(
    readonly userId: string,
    /** Stands under the name, where it is not that of everybody here. */
    private readonly home: string | null = null,
  ) {
    this.figure = makePlaceholder(userId);
    this.group.add(this.figure, this.name.sprite, this.bubble.sprite);
  }

  /** Shows the avatar as soon as it is there, and until then, or if it never comes, the fallback. */
  async wear(avatar: string, fallback: string): Promise<void> {
    this.wish += 1;
    const wish = this.wish;
    const show = async (url: string, isFallback: boolean): Promise<boolean> => {
      try {
        const [vrm, motions] = await Promise.all([loadVrm(url), loadMotions()]);
        const late = this.ended || wish !== this.wish || (isFallback && this.shownUrl === avatar);
        if (late) {
          discard(vrm);
          return true;
        }
        this.put(vrm, new Animator(vrm, motions), url, isFallback);
        return true;
      } catch (error) {
        console.warn(`the body ${url} cannot be shown`, error);
        return false;
      }
    };
    if (avatar === fallback) {
      await show(avatar, false);
      return;
    }
    await Promise.all([show(avatar, false), show(fallback, true)]);
  }

  private put(vrm: VRM, animator: Animator, url: string, isFallback: boolean): void {
    const before = this.vrm;
    this.animator?.dispose();
    this.figure.removeFromParent();
    if (before) discard(before);
    this.vrm = vrm;
    this.animator = animator;
    this.figure = vrm.scene;
    this.rest(vrm);
    this.group.add(this.figure);
    this.shownUrl = url;
    this.isFallback = isFallback;
    vrm.springBoneManager?.reset();
    this.animate(0);
    this.group.updateMatrixWorld(true);
    this.fresh = true;
    this.measure(vrm);
    this.onModel(vrm);
  }

  /** Above hair, ears and hats: heads are as high as what moves with them. */
  private measure(vrm: VRM): void {
    const head = vrm.humanoid.getRawBoneNode("head");
    if (!head) return;
    const from = head.getWorldPosition(hips).y - this.group.position.y;
    this.overHead = Math.max(LEAST_HEAD_M, Math.min(MOST_HEAD_M, heightOf(vrm) - from)) + PLATE_M;
    this.eyes = from + (vrm.lookAt?.offsetFromHeadBone.y ?? EYES_M);
  }

  /**
   * Computes where each bone is only in frames in which the body is animated. The renderer would do it in
   * every frame, for a hundred bones each, and twice: for those that motions turn, too, which are not drawn.
   */
  private rest(vrm: VRM): void {
    const { scene, humanoid } = vrm;
    const update = scene.updateMatrixWorld.bind(scene);
    scene.updateMatrixWorld = () => {
      if (this.fresh) update(true);
      this.fresh = false;
    };
    humanoid.normalizedHumanBonesRoot.updateMatrixWorld = () => {};
  }

  /** Shows or hides the body itself; what hangs over it stays. */
  model(shown: boolean): void {
    this.figure.visible = shown;
  }

  emote(name: MotionName, nowMs: number): void {
    this.doing.emote = name;
    this.emoteUntilMs = nowMs + (this.animator?.emoteLength(name) ?? 2) * 1000;
  }

  say(text: string, nowMs: number): void {
    this.bubble.write(text);
    this.bubbleUntilMs = nowMs + Math.min(20_000, BUBBLE_MS + text.length * BUBBLE_PER_LETTER_MS);
  }

  /** Ends an emote that is over, or that walking away has ended. */
  settle(nowMs: number): void {
    const { doing } = this;
    if (doing.emote && (nowMs > this.emoteUntilMs || Math.abs(doing.speed) > 0.4)) doing.emote = null;
  }

  /** Where the body has its feet while it sits there. */
  seatedAt(seat: Seat, into: Vector3): Vector3 {
    if (this.animator) this.animator.seatedHips(hips);
    else hips.set(0, 0.5, 0);
    return seatRoot(seat, hips, into);
  }

  animate(seconds: number): void {
    const { vrm, animator } = this;
    if (!vrm || !animator) return;
    this.fresh = true;
    this.lift(vrm, seconds);
    animator.update(seconds, this.doing);
    this.look(vrm);
    this.blink(vrm, seconds);
    vrm.humanoid.update();
    vrm.nodeConstraintManager?.update();
  }

  /** The name goes where the head was in the last frame. */
  private lift(vrm: VRM, seconds: number): void {
    const head = vrm.humanoid.getRawBoneNode("head");
    if (!head) return;
    const over = (head.matrixWorld.elements[13] ?? 0) - this.group.position.y + this.overHead;
    this.plate += (over - this.plate) * (1 - Math.exp(-seconds * PLATE_FOLLOWS));
  }

  /** Hair and cloth, where somebody is near enough to see them. */
  swing(seconds: number): void {
    this.vrm?.springBoneManager?.update(Math.min(seconds, 0.05));
  }

  private look(vrm: VRM): void {
    const yaw = Math.min(LOOK_LIMIT, Math.max(-LOOK_LIMIT, this.lookYaw));
    for (const bone of ["neck", "head"] as const) {
      const node = vrm.humanoid.getNormalizedBoneNode(bone);
      if (!node) continue;
      const share = bone === "neck" ? NECK_SHARE : 1 - NECK_SHARE;
      node.quaternion.premultiply(turn.setFromAxisAngle(UP, yaw * share));
      node.quaternion.multiply(turn.setFromAxisAngle(RIGHT, -this.lookPitch * 0.8 * share));
    }
  }

  private blink(vrm: VRM, seconds: number): void {
    this.blinkS -= seconds;
    const { expressionManager } = vrm;
    if (!expressionManager || this.blinkS > 0.16) return;
    expressionManager.setValue("blink", Math.sin((Math.max(0, this.blinkS) / 0.16) * Math.PI));
    expressionManager.update();
    if (this.blinkS <= 0) this.blinkS = 2 + Math.random() * 4;
  }

  /** Places what is over the head, for an eye so far behind it. */
  label({ name, badges }: Plate, shown: boolean, distance: number, perPixel: number, nowMs: number): void {
    const leftMs = this.bubbleUntilMs - nowMs;
    const bubble = Math.min(1, Math.max(0, leftMs / 400));
    const base = this.plate;
    if (shown) this.name.write(name, this.home, badges.length > 0);
    this.name.place(distance, perPixel, shown ? Math.min(1, Math.max(0, (60 - distance) / 15)) : 0);
    this.name.sprite.position.y = base;
    this.bubble.place(distance, perPixel, distance < 40 ? bubble : 0);
    this.bubble.sprite.position.y = base + (shown ? this.name.height * 1.25 : 0);
  }

  dispose(): void {
    this.ended = true;
    this.animator?.dispose();
    this.name.dispose();
    this.bubble.dispose();
    this.group.removeFromParent();
    if (this.vrm) discard(this.vrm);
  }
}
