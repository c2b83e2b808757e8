// Names and speech bubbles over heads: drawn as pictures, so that they are there in a headset too.
import { Sprite, SpriteMaterial } from "three";
import { settings, textScale } from "../settings";
import { paint } from "../world/paint";

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
const MOST_LINES = 5;
const BUBBLE_WIDTH_PX = 250;
/** Nearer than this, text keeps its size on the screen; further away it shrinks. */
const KEEPS_SIZE_M = 7;

interface Look {
  size: number;
  weight: number;
  ink: string;
  paper: string;
  radius: number;
  pad: [number, number];
  tail: boolean;
}

const NAME: Look = {
  size: 14,
  weight: 600,
  ink: "#fdf6ea",
  paper: "rgba(22, 25, 44, 0.62)",
  radius: 12,
  pad: [10, 4],
  tail: false,
};

const BUBBLE: Look = {
  size: 15,
  weight: 500,
  ink: "#262338",
  paper: "rgba(255, 250, 241, 0.96)",
  radius: 14,
  pad: [14, 9],
  tail: true,
};

/** What stands under a name, beside its size. */
const UNDER = 0.78;

/** The sign of badges: how much room it takes beside a name, and how large it is, in the size of its letters. */
const SIGN = 1.5;
const SIGN_RADIUS = 0.58;
const SIGN_PAPER = "#ffc888";
const SIGN_INK = "#33200c";
const STAR_POINTS = 5;

const measuring = document.createElement("canvas").getContext("2d");

export class Label {
  readonly sprite: Sprite;
  private readonly material: SpriteMaterial;
  private text = "";
  private under: string | null = null;
  private badged = false;
  private scale = 0;
  private size: [number, number] = [1, 1];

  constructor(private readonly kind: "name" | "bubble") {
    this.material = new SpriteMaterial({
      transparent: true,
      depthWrite: false,
      fog: false,
      toneMapped: false,
      sizeAttenuation: true,
    });
    this.sprite = new Sprite(this.material);
    this.sprite.center.set(0.5, 0);
    this.sprite.renderOrder = kind === "bubble" ? 11 : 10;
    this.sprite.visible = false;
  }

  /** Draws the text, with something small under it and a sign of badges beside it, unless that is what is there already. */
  write(text: string, under: string | null = null, badged = false): void {
    const scale = textScale(settings().textSize);
    if (text === this.text && under === this.under && badged === this.badged && scale === this.scale) return;
    this.text = text;
    this.under = under;
    this.badged = badged;
    this.scale = scale;
    const canvas = draw(text, under, badged, this.kind === "bubble" ? BUBBLE : NAME, scale);
    const ratio = density();
    this.size = [canvas.width / ratio, canvas.height / ratio];
    paint(this.material, canvas);
  }

  /**
   * Keeps the text legible: `depth` is how far in front of the eye it is, and `perPixel` how large a
   * pixel of the page is at a metre's.
   */
  place(depth: number, perPixel: number, opacity: number): void {
    const far = Math.max(depth, 0.6);
    const reach = far <= KEEPS_SIZE_M ? far : KEEPS_SIZE_M + (far - KEEPS_SIZE_M) * 0.45;
    const unit = reach * perPixel;
    this.sprite.scale.set(this.size[0] * unit, this.size[1] * unit, 1);
    this.material.opacity = opacity;
    this.sprite.visible = opacity > 0.02 && this.text !== "";
  }

  /** How high it is at that distance, in metres. */
  get height(): number {
    return this.sprite.scale.y;
  }

  dispose(): void {
    this.material.map?.dispose();
    this.material.dispose();
    this.sprite.removeFromParent();
  }
}

function density(): number {
  return Math.min(2, Math.max(1, window.devicePixelRatio)) * 1.25;
}

function draw(text: string, under: string | null, badged: boolean, look: Look, scale: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  if (!context || !measuring) return canvas;
  const size = look.size * scale;
  const font = `${look.weight} ${size}px ${FONT}`;
  measuring.font = font;
  const lines = look.tail ? wrap(text, BUBBLE_WIDTH_PX * scale) : [shorten(text, 220 * scale)];
  const lineHeight = size * 1.32;
  const underSize = size * UNDER;
  const underFont = `500 ${underSize}px ${FONT}`;
  const widths = lines.map((line) => measuring.measureText(line).width);
  measuring.font = underFont;
  const below = under === null ? null : shorten(under, 220 * scale);
  if (below !== null) widths.push(measuring.measureText(below).width);
  const width = Math.max(...widths);
  const underHeight = below === null ? 0 : underSize * 1.3;
  const [padX, padY] = [look.pad[0] * scale, look.pad[1] * scale];
  const tail = look.tail ? 8 * scale : 0;
  const sign = badged ? size * SIGN : 0;
  const box: [number, number] = [width + sign + padX * 2, lines.length * lineHeight + underHeight + padY * 2];
  const ratio = density();
  const margin = 2;
  canvas.width = Math.ceil((box[0] + margin * 2) * ratio);
  canvas.height = Math.ceil((box[1] + tail + margin * 2) * ratio);
  context.scale(ratio, ratio);
  context.translate(margin, margin);
  context.fillStyle = look.paper;
  context.beginPath();
  context.roundRect(0, 0, box[0], box[1], Math.min(look.radius * scale, box[1] / 2));
  if (tail > 0) {
    context.moveTo(box[0] / 2 - tail, box[1] - 0.5);
    context.lineTo(box[0] / 2, box[1] + tail);
    context.lineTo(box[0] / 2 + tail, box[1] - 0.5);
  }
  context.fill();
  context.font = font;
  context.fillStyle = look.ink;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const middle = padX + width / 2;
  lines.forEach((line, index) => {
    context.fillText(line, middle, padY + lineHeight * (index + 0.52));
  });
  if (below !== null) {
    context.font = underFont;
    context.globalAlpha = 0.82;
    context.fillText(below, middle, padY + lineHeight * lines.length + underHeight * 0.46);
  }
  if (badged) drawSign(context, [box[0] - padX - size * SIGN_RADIUS, box[1] / 2], size * SIGN_RADIUS);
  return canvas;
}

/** A star on a disc, beside the text and not in it, where no letter of a name comes. */
function drawSign(context: CanvasRenderingContext2D, [x, y]: [number, number], radius: number): void {
  context.globalAlpha = 1;
  context.fillStyle = SIGN_PAPER;
  context.beginPath();
  context.arc(x, y, radius, 0, Math.PI * 2);
  context.fill();
  context.fillStyle = SIGN_INK;
  context.beginPath();
  for (let point = 0; point < STAR_POINTS * 2; point += 1) {
    const reach = radius * (point % 2 === 0 ? 0.72 : 0.32);
    const angle = (point * Math.PI) / STAR_POINTS - Math.PI / 2;
    context.lineTo(x + Math.cos(angle) * reach, y + Math.sin(angle) * reach);
  }
  context.fill();
}

function shorten(text: string, width: number): string {
  if (!measuring || measuring.measureText(text).width <= width) return text;
  const letters = [...text];
  while (letters.length > 1 && measuring.measureText(`${letters.join("")}…`).width > width) {
    letters.pop();
  }
  return `${letters.join("")}…`;
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.replace(/\s+/g, " ").trim().split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line !== "" && (measuring?.measureText(longer).width ?? 0) > width) {
      lines.push(line);
      line = word;
    } else {
      line = longer;
    }
  }
  lines.push(line);
  const shown = lines.slice(0, MOST_LINES).map((one) => shorten(one, width));
  if (lines.length > MOST_LINES) shown[MOST_LINES - 1] = shorten(`${shown[MOST_LINES - 1]} …`, width);
  return shown;
}
