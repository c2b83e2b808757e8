// A simple figure that stands in for a body until there is a better one: nobody is invisible.
import { CapsuleGeometry, Color, Group, Mesh, MeshLambertMaterial, SphereGeometry } from "three";
import { hue } from "../people";

const torso = new CapsuleGeometry(0.2, 0.75, 6, 16).translate(0, 0.72, 0);
const head = new SphereGeometry(0.17, 20, 14).translate(0, 1.46, 0);
const eye = new SphereGeometry(0.024, 10, 8);
const dark = new MeshLambertMaterial({ color: "#2a2f45" });

export function makePlaceholder(userId: string): Group {
  const colour = new Color().setHSL(hue(userId), 0.38, 0.62);
  const material = new MeshLambertMaterial({ color: colour });
  const pale = new MeshLambertMaterial({ color: colour.clone().lerp(new Color("#fff4e2"), 0.6) });
  const group = new Group();
  group.add(new Mesh(torso, material), new Mesh(head, pale));
  for (const side of [-1, 1]) {
    const one = new Mesh(eye, dark);
    one.position.set(side * 0.06, 1.48, 0.155);
    group.add(one);
  }
  for (const part of group.children) part.castShadow = true;
  return group;
}
