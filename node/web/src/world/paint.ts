// What is drawn on a canvas, shown in a world at the sharpness at which it was drawn.
import { CanvasTexture, LinearFilter, SRGBColorSpace, type SpriteMaterial } from "three";

/** Shows a canvas in the place of what was shown before. */
export function paint(material: SpriteMaterial, canvas: HTMLCanvasElement): void {
  material.map?.dispose();
  const map = new CanvasTexture(canvas);
  map.colorSpace = SRGBColorSpace;
  map.generateMipmaps = false;
  map.minFilter = LinearFilter;
  material.map = map;
  material.needsUpdate = true;
}
