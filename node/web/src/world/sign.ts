// The sign over a portal: where it leads, on which node that is, and who is there; or why nobody gets through.
import { Sprite, SpriteMaterial } from "three";
import { paint } from "./paint";

export interface SignText {
  name: string;
  /** What stands below it, a line each. */
  lines: readonly string[];
  /** Why it leads nowhere just now. */
  trouble: string | null;
}

const SERIF = 'ui-serif, "Iowan Old Style", Palatino, Georgia, serif';
const SANS = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
const WIDTH_PX = 330;
const PAD_PX = 18;
const NAME_PX = 30;
const LINE_PX = 18;
const SHARPNESS = 2;
const TROUBLE_LINES = 4;
/** Metres for a pixel of the drawing, seen from near. */
const UNIT_M = 0.0075;
/** From further away it grows, so that it can be read for longer, up to this. */
const LARGEST_M = 0.016;

/** How high it hangs for whoever is nearer than the first of these, and how far from the surface. */
const LOW_M = 2.3;
const AWAY_M = 0.6;
const NEAR_M = 4.5;
const FAR_M = 10;

interface Line {
  text: string;
  font: string;
  size: number;
  ink: string;
}

export class Sign {
  readonly sprite: Sprite;
  private readonly material = new SpriteMaterial({ transparent: true, depthWrite: false, fog: false, toneMapped: false });
  private written = "";
  private size: [number, number] = [1, 1];

  constructor(private readonly height: number) {
    this.sprite = new Sprite(this.material);
    this.sprite.center.set(0.5, 0);
    this.sprite.renderOrder = 9;
  }

  /** Draws what it says, unless it is there already. */
  write(text: SignText): void {
    const print = JSON.stringify(text);
    if (print === this.written) return;
    this.written = print;
    const canvas = draw(text);
    this.size = [canvas.width / SHARPNESS, canvas.height / SHARPNESS];
    paint(this.material, canvas);
  }

  /**
   * Keeps it legible at a distance, for an eye before the portal or behind it to which a pixel of the page is so large
   * at a metre's. It comes down to whoever stands too near to look up to it.
   */
  place(distance: number, perPixel: number, isBefore: boolean): void {
    const up = Math.min(1, Math.max(0, (distance - NEAR_M) / (FAR_M - NEAR_M)));
    this.sprite.position.y = LOW_M + (this.height - LOW_M) * up;
    // Out of the way of the arch before it comes down.
    const away = Math.min(1, (1 - up) * 4) * AWAY_M;
    this.sprite.position.z = isBefore ? away : -away;
    const unit = Math.min(LARGEST_M, Math.max(UNIT_M, distance * perPixel * 0.75));
    this.sprite.scale.set(this.size[0] * unit, this.size[1] * unit, 1);
    this.material.opacity = Math.min(1, Math.max(0, (70 - distance) / 20));
    this.sprite.visible = this.material.opacity > 0.02;
  }

  dispose(): void {
    this.material.map?.dispose();
    this.material.dispose();
    this.sprite.removeFromParent();
  }
}

function draw({ name, lines, trouble }: SignText): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  if (!context) return canvas;
  const room = WIDTH_PX - PAD_PX * 2;
  const nameFont = `500 ${NAME_PX}px ${SERIF}`;
  const lineFont = `500 ${LINE_PX}px ${SANS}`;
  const one = (text: string, font: string, size: number, ink: string): Line => {
    context.font = font;
    return { text: shortened(context, text, room), font, size, ink };
  };
  context.font = lineFont;
  const why = trouble === null ? [] : wrapped(context, trouble, room);
  const all = [
    one(name, nameFont, NAME_PX, "#fff7ea"),
    ...lines.map((line) => one(line, lineFont, LINE_PX, "#d3cbdc")),
    ...why.map((line) => one(line, lineFont, LINE_PX, "#ffb3a0")),
  ];
  const height = all.reduce((sum, { size }) => sum + size * 1.34, 0) + PAD_PX * 1.3;
  const width = Math.max(...all.map(({ text, font }) => measured(context, text, font))) + PAD_PX * 2;
  canvas.width = Math.ceil(width * SHARPNESS);
  canvas.height = Math.ceil(height * SHARPNESS);
  context.scale(SHARPNESS, SHARPNESS);
  context.fillStyle = "rgba(22, 25, 44, 0.78)";
  context.beginPath();
  context.roundRect(0, 0, width, height, 18);
  context.fill();
  context.textAlign = "center";
  context.textBaseline = "middle";
  let top = PAD_PX * 0.65;
  for (const { text, font, size, ink } of all) {
    context.font = font;
    context.fillStyle = ink;
    context.fillText(text, width / 2, top + size * 0.7);
    top += size * 1.34;
  }
  return canvas;
}

function measured(context: CanvasRenderingContext2D, text: string, font: string): number {
  context.font = font;
  return context.measureText(text).width;
}

function shortened(context: CanvasRenderingContext2D, text: string, width: number): string {
  if (context.measureText(text).width <= width) return text;
  const letters = [...text].slice(0, 120);
  while (letters.length > 1 && context.measureText(`${letters.join("")}…`).width > width) letters.pop();
  return `${letters.join("")}…`;
}

function wrapped(context: CanvasRenderingContext2D, text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line !== "" && context.measureText(longer).width > width) {
      lines.push(line);
      line = word;
    } else {
      line = longer;
    }
  }
  lines.push(line);
  return lines.slice(0, TROUBLE_LINES);
}
