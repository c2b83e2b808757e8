// The panel in a headset: what has been said, gestures, sitting, and the way out; worked by a ray.
import { CanvasTexture, Mesh, MeshBasicMaterial, PlaneGeometry, SRGBColorSpace, Vector3 } from "three";
import { t } from "../i18n";
import { elsewhere } from "../api/session";
import type { Visit } from "../visit/visit";

interface Button {
  text: () => string;
  deed: () => void;
}

const WIDTH = 640;
const HEIGHT = 480;
const COLUMNS = 2;
const ROWS = 3;
const BUTTON_TOP = 236;
const BUTTON_HEIGHT = 72;
const GAP = 12;
const REDRAW_S = 0.5;
/** Pixels of the picture to one of the drawing: letters are looked at from near. */
const SHARPNESS = 2;
const LETTERS = 44;
const FONT = 'system-ui, "Segoe UI", Roboto, sans-serif';

export class Panel {
  readonly mesh: Mesh<PlaneGeometry, MeshBasicMaterial>;
  private readonly canvas = document.createElement("canvas");
  private readonly texture: CanvasTexture;
  private readonly buttons: Button[];
  private hovered = -1;
  private sinceS = REDRAW_S;

  constructor(
    private readonly visit: Visit,
    /** Whether it is worked with bare hands, which have no sticks. */
    private readonly bare: () => boolean,
    leave: () => void,
  ) {
    this.canvas.width = WIDTH * SHARPNESS;
    this.canvas.height = HEIGHT * SHARPNESS;
    this.texture = new CanvasTexture(this.canvas);
    this.texture.colorSpace = SRGBColorSpace;
    this.texture.anisotropy = 4;
    const material = new MeshBasicMaterial({ map: this.texture, transparent: true, toneMapped: false, fog: false });
    this.mesh = new Mesh(new PlaneGeometry(0.64, 0.48), material);
    this.mesh.position.set(0, 1.25, -0.9);
    this.mesh.rotation.x = -0.25;
    this.mesh.renderOrder = 20;
    this.buttons = [
      { text: () => t("hud.wave"), deed: () => visit.emote(1) },
      { text: () => t("hud.dance"), deed: () => visit.emote(2) },
      { text: () => t("hud.point"), deed: () => visit.emote(3) },
      { text: () => t(visit.seat ? "hud.stand" : "hud.sit"), deed: () => visit.sitOrStand() },
      { text: () => t("settings.close"), deed: () => this.hide() },
      { text: () => t("xr.exit"), deed: leave },
    ];
  }

  /** Opens in front of the head, in the room, or closes. */
  toggle(head: Vector3, yaw: number): void {
    this.mesh.visible = !this.mesh.visible;
    this.mesh.position.set(head.x - Math.sin(yaw) * 0.85, head.y - 0.32, head.z - Math.cos(yaw) * 0.85);
    this.mesh.rotation.set(-0.3, yaw, 0, "YXZ");
  }

  dispose(): void {
    this.texture.dispose();
    this.mesh.geometry.dispose();
    this.mesh.material.dispose();
  }

  hide(): void {
    this.mesh.visible = false;
  }

  private at(hit: { x: number; y: number }): number {
    const x = hit.x * WIDTH;
    const row = Math.floor((hit.y * HEIGHT - BUTTON_TOP) / (BUTTON_HEIGHT + GAP));
    if (row < 0 || row >= ROWS) return -1;
    return row * COLUMNS + Math.min(COLUMNS - 1, Math.floor((x / WIDTH) * COLUMNS));
  }

  hover(hit: { x: number; y: number } | null): void {
    const hovered = hit ? this.at(hit) : -1;
    if (hovered === this.hovered) return;
    this.hovered = hovered;
    this.sinceS = REDRAW_S;
  }

  press(hit: { x: number; y: number }): void {
    this.buttons[this.at(hit)]?.deed();
    this.sinceS = REDRAW_S;
  }

  update(seconds: number): void {
    this.sinceS += seconds;
    if (!this.mesh.visible || this.sinceS < REDRAW_S) return;
    this.sinceS = 0;
    this.draw();
    this.texture.needsUpdate = true;
  }

  private draw(): void {
    const context = this.canvas.getContext("2d");
    if (!context) return;
    context.setTransform(SHARPNESS, 0, 0, SHARPNESS, 0, 0);
    context.clearRect(0, 0, WIDTH, HEIGHT);
    context.fillStyle = "rgba(24, 27, 51, 0.92)";
    context.beginPath();
    context.roundRect(0, 0, WIDTH, HEIGHT, 34);
    context.fill();
    context.textBaseline = "middle";
    this.drawTalk(context);
    this.buttons.forEach((button, index) => this.drawButton(context, button, index));
  }

  private drawTalk(context: CanvasRenderingContext2D): void {
    const { visit } = this;
    context.textAlign = "left";
    context.fillStyle = "#fff7ea";
    context.font = `600 28px ${FONT}`;
    const here = t("hud.here_count", { count: visit.crowd.people.size + 1 });
    context.fillText(`${visit.world.name} · ${here}`, 28, 40, WIDTH - 56);
    const lines = visit.chat.lines.filter(({ redacted }) => !redacted).slice(-3);
    context.font = `400 25px ${FONT}`;
    lines.forEach((line, index) => {
      context.fillStyle = "#e9e1ee";
      const home = elsewhere(line.sender, visit.host.serverName);
      const text = `${visit.chat.nameOf(line.sender)}${home === null ? "" : ` (${home})`}: ${line.body}`;
      const short = text.length > LETTERS ? `${text.slice(0, LETTERS)}…` : text;
      context.fillText(short, 28, 88 + index * 34, WIDTH - 56);
    });
    context.fillStyle = "#c9c1d8";
    context.font = `400 20px ${FONT}`;
    t(this.bare() ? "xr.hands" : "xr.turn")
      .split("\n")
      .forEach((line, index) => context.fillText(line, 28, 188 + index * 26, WIDTH - 56));
  }

  private drawButton(context: CanvasRenderingContext2D, button: Button, index: number): void {
    const width = (WIDTH - 56 - GAP) / COLUMNS;
    const x = 28 + (index % COLUMNS) * (width + GAP);
    const y = BUTTON_TOP + Math.floor(index / COLUMNS) * (BUTTON_HEIGHT + GAP);
    const hovered = index === this.hovered;
    context.fillStyle = hovered ? "#ffc888" : "rgba(255, 240, 218, 0.13)";
    context.beginPath();
    context.roundRect(x, y, width, BUTTON_HEIGHT, 22);
    context.fill();
    context.fillStyle = hovered ? "#33200c" : "#fff7ea";
    context.font = `600 27px ${FONT}`;
    context.textAlign = "center";
    context.fillText(button.text(), x + width / 2, y + BUTTON_HEIGHT / 2, width - 24);
  }
}
