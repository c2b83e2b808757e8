// One's own body: what is shown of it in each view.
import type { VRM } from "@pixiv/three-vrm";
import type { PerspectiveCamera } from "three";
import { Body } from "../bodies/body";
import { turnBetween } from "../net/interpolation";
import { Motion } from "../net/pose";
import type { View } from "../me/view";
import type { Walker } from "../me/walker";

const LOOK_YAW = 1.2;
const LOOK_PITCH = 0.9;

export class OwnBody {
  readonly body: Body;
  lookYaw = 0;
  lookPitch = 0;
  private hidden = false;

  constructor(
    userId: string,
    private readonly camera: PerspectiveCamera,
  ) {
    this.body = new Body(userId);
    this.body.onModel = (vrm) => this.dress(vrm);
  }

  get eyes(): number {
    return Math.max(0.4, this.body.eyes) * (this.body.doing.sits ? 0.94 : 1);
  }

  private dress(vrm: VRM): void {
    // Builds a second body without a head, for who looks out of it.
    vrm.firstPerson?.setup();
    this.show(this.hidden);
  }

  private show(fromInside: boolean): void {
    this.hidden = fromInside;
    const { vrm, group } = this.body;
    const { layers } = this.camera;
    const { firstPerson } = vrm ?? {};
    group.visible = !fromInside || Boolean(firstPerson);
    if (!firstPerson) return;
    layers.disable(fromInside ? firstPerson.thirdPersonOnlyLayer : firstPerson.firstPersonOnlyLayer);
    layers.enable(fromInside ? firstPerson.firstPersonOnlyLayer : firstPerson.thirdPersonOnlyLayer);
  }

  update(walker: Walker, view: View, fromInside: boolean, seconds: number, nowMs: number): void {
    const { body } = this;
    if (fromInside !== this.hidden) this.show(fromInside);
    body.group.position.copy(walker.shown);
    body.group.rotation.y = walker.yaw;
    body.doing.speed = walker.backwards ? -walker.speed : walker.speed;
    body.doing.air = walker.motion === Motion.Air;
    body.doing.sits = walker.seated;
    const yaw = turnBetween(walker.yaw, view.yaw);
    // Nobody looks behind themselves through their own neck.
    const wantedYaw = Math.abs(yaw) > 2 ? 0 : Math.max(-LOOK_YAW, Math.min(LOOK_YAW, yaw));
    const wantedPitch = Math.max(-LOOK_PITCH, Math.min(LOOK_PITCH, view.pitch));
    const share = 1 - Math.exp(-seconds * 10);
    this.lookYaw += (wantedYaw - this.lookYaw) * share;
    this.lookPitch += (wantedPitch - this.lookPitch) * share;
    body.lookYaw = this.lookYaw;
    body.lookPitch = this.lookPitch;
    body.settle(nowMs);
    body.animate(seconds);
    body.swing(seconds);
  }
}
