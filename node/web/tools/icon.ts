// Draws our own icon as PNG: a small painter for the few kinds of shapes that the icon is made of.
import { deflateSync } from "node:zlib";

type Point = [number, number];
type Colour = [number, number, number];
type Paint = (x: number, y: number) => Colour;

interface Shape {
  inside: (x: number, y: number) => boolean;
  paint: Paint;
}

const SAMPLES = 3;
const GRID = 64;

export function drawIcon(svg: string, size: number): Uint8Array {
  const shapes = [...svg.matchAll(/<(rect|path|circle)\b([^>]*)\/>/g)].map((match) =>
    shape(match[1] ?? "", attributes(match[2] ?? ""), svg),
  );
  const rows = new Uint8Array(size * (size * 4 + 1));
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      rows.set(pixel(shapes, x, y, size), y * (size * 4 + 1) + 1 + x * 4);
    }
  }
  return png(rows, size);
}

function pixel(shapes: Shape[], x: number, y: number, size: number): number[] {
  let [red, green, blue, covered] = [0, 0, 0, 0];
  for (let sample = 0; sample < SAMPLES * SAMPLES; sample += 1) {
    const px = ((x + ((sample % SAMPLES) + 0.5) / SAMPLES) / size) * GRID;
    const py = ((y + (Math.floor(sample / SAMPLES) + 0.5) / SAMPLES) / size) * GRID;
    // The icon is one square, rounded or not: what is beside that is nothing.
    if (!shapes[0]?.inside(px, py)) continue;
    const top = shapes.findLast((one) => one.inside(px, py));
    const colour = top?.paint(px, py) ?? [0, 0, 0];
    red += colour[0];
    green += colour[1];
    blue += colour[2];
    covered += 1;
  }
  const share = covered || 1;
  const alpha = (covered / SAMPLES ** 2) * 255;
  return [red / share, green / share, blue / share, alpha].map(Math.round);
}

function attributes(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(/([\w-]+)="([^"]*)"/g)].map((m) => [m[1], m[2]]));
}

function shape(kind: string, own: Record<string, string>, svg: string): Shape {
  const number = (name: string): number => Number(own[name] ?? 0);
  if (kind === "rect") {
    const [width, height, radius] = [number("width"), number("height"), number("rx")];
    const inside = (x: number, y: number): boolean => {
      const dx = Math.max(radius - x, x - (width - radius), 0);
      const dy = Math.max(radius - y, y - (height - radius), 0);
      return Math.hypot(dx, dy) <= radius;
    };
    return { inside, paint: paint(own.fill ?? "", svg) };
  }
  if (kind === "circle") {
    const [cx, cy, r] = [number("cx"), number("cy"), number("r")];
    return { inside: (x, y) => Math.hypot(x - cx, y - cy) <= r, paint: paint(own.fill ?? "", svg) };
  }
  const line = flatten(own.d ?? "");
  const half = number("stroke-width") / 2;
  const [left, right] = range(line.map(([x]) => x), half);
  const [top, bottom] = range(line.map(([, y]) => y), half);
  // Most places are far from most shapes, and a box says so at once.
  const close = (x: number, y: number): boolean => x > left && x < right && y > top && y < bottom;
  if (own.fill === "none") {
    const inside = (x: number, y: number): boolean => close(x, y) && near(line, x, y, half);
    return { inside, paint: paint(own.stroke ?? "", svg) };
  }
  return { inside: (x, y) => close(x, y) && within(line, x, y), paint: paint(own.fill ?? "", svg) };
}

function range(values: number[], more: number): [number, number] {
  return [Math.min(...values) - more, Math.max(...values) + more];
}

/** Corners of a path of absolute M, L and A commands; arcs are circular and the shorter way round. */
function flatten(d: string): Point[] {
  const line: Point[] = [];
  for (const [, command, list] of d.matchAll(/([MLAZ])([^MLAZ]*)/g)) {
    const numbers = (list ?? "").trim().split(/[\s,]+/).map(Number);
    const [x = 0, y = 0] = numbers.slice(-2);
    const from = line[line.length - 1];
    if (command === "A" && from) line.push(...arc(from, [x, y], numbers[0] ?? 1, numbers[4] === 1));
    else if (command !== "Z") line.push([x, y]);
  }
  return line;
}

function arc(from: Point, to: Point, radius: number, clockwise: boolean): Point[] {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const chord = Math.hypot(dx, dy);
  const off = Math.sqrt(Math.max(0, radius ** 2 - (chord / 2) ** 2)) * (clockwise ? 1 : -1);
  const cx = (from[0] + to[0]) / 2 - (dy / chord) * off;
  const cy = (from[1] + to[1]) / 2 + (dx / chord) * off;
  const start = Math.atan2(from[1] - cy, from[0] - cx);
  let turn = Math.atan2(to[1] - cy, to[0] - cx) - start;
  if (clockwise && turn < 0) turn += Math.PI * 2;
  if (!clockwise && turn > 0) turn -= Math.PI * 2;
  return Array.from({ length: 32 }, (_, step) => {
    const angle = start + (turn * (step + 1)) / 32;
    return [cx + radius * Math.cos(angle), cy + radius * Math.sin(angle)];
  });
}

function within(line: Point[], x: number, y: number): boolean {
  let inside = false;
  for (let index = 0; index < line.length; index += 1) {
    const a = line[index] as Point;
    const b = line[(index + 1) % line.length] as Point;
    const crosses = a[1] > y !== b[1] > y;
    if (crosses && x < ((b[0] - a[0]) * (y - a[1])) / (b[1] - a[1]) + a[0]) inside = !inside;
  }
  return inside;
}

function near(line: Point[], x: number, y: number, distance: number): boolean {
  for (let index = 1; index < line.length; index += 1) {
    const a = line[index - 1] as Point;
    const b = line[index] as Point;
    const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
    const along = ((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy || 1);
    const share = Math.min(1, Math.max(0, along));
    if ((x - a[0] - share * dx) ** 2 + (y - a[1] - share * dy) ** 2 <= distance ** 2) return true;
  }
  return false;
}

function paint(text: string, svg: string): Paint {
  if (!text.startsWith("url(")) return () => colour(text);
  const stops = [...svg.matchAll(/<stop offset="([\d.]+)" stop-color="(#\w+)"\/>/g)].map(
    (match): [number, Colour] => [Number(match[1]), colour(match[2] ?? "")],
  );
  return (_, y) => {
    const at = y / GRID;
    const next = Math.max(1, stops.findIndex(([offset]) => offset >= at));
    const [low, from] = stops[next - 1] ?? [0, colour("#000000")];
    const [high, to] = stops[next] ?? [1, from];
    const share = Math.min(1, Math.max(0, (at - low) / (high - low)));
    return from.map((part, index) => part + ((to[index] ?? part) - part) * share) as Colour;
  };
}

function colour(hex: string): Colour {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)) as Colour;
}

function png(rows: Uint8Array, size: number): Uint8Array {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, size);
  view.setUint32(4, size);
  header.set([8, 6, 0, 0, 0], 8);
  const mark = new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]);
  const pixels = deflateSync(rows, { level: 9 });
  return Buffer.concat([mark, chunk("IHDR", header), chunk("IDAT", pixels), chunk("IEND", new Uint8Array())]);
}

function chunk(kind: string, data: Uint8Array): Uint8Array {
  const body = Buffer.concat([Buffer.from(kind, "latin1"), data]);
  const whole = Buffer.alloc(body.length + 8);
  whole.writeUInt32BE(data.length, 0);
  body.copy(whole, 4);
  whole.writeUInt32BE(crc(body), body.length + 4);
  return whole;
}

function crc(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  }
  return (sum ^ 0xffffffff) >>> 0;
}
