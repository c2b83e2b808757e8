// What can be made ready before somebody walks in: the stage, the motions, and the scene itself.
import { h } from "../ui/dom";
import { loadMotions } from "../bodies/motions";
import { drawPlainly } from "../bodies/library";
import { settings } from "../settings";
import { levelFor } from "./quality";
import { type LoadedScene, loadScene, type Progress } from "./scene";
import { Stage } from "./stage";

interface Preparing {
  url: string;
  scene: Promise<LoadedScene>;
  newest: [loaded: number, total: number];
  listener: Progress;
}

let stage: Stage | null = null;
let preparing: Preparing | null = null;
/** Set by the first visit: from then on nothing is guessed any more. */
let wanted = false;

/** The one stage of the page; another one only where the person has asked for another quality. */
export function theStage(): Stage {
  if (stage && stage.level !== levelFor(settings().quality)) {
    stage.dispose();
    stage = null;
    preparing = null;
  }
  if (!stage) {
    stage = new Stage(h("canvas", { class: "stage", attrs: { tabindex: 0, role: "application" } }));
    drawPlainly(!stage.budget.rich);
    stage.warm();
  }
  return stage;
}

/** Makes ready what can be, while somebody still types their name. */
export function makeReady(scene: { url: string; bytes: number } | null): void {
  try {
    theStage();
    if (scene) prepare(scene.url, scene.bytes);
  } catch (error) {
    // Somebody who walks in is told; somebody who only looks at the first page need not be.
    console.warn("the stage cannot be made ready", error);
  }
}

/** Fetches and puts up a scene that somebody is likely to walk into; if that fails, it is tried again then. */
function prepare(url: string, bytes: number): void {
  if (wanted) return;
  void loadMotions();
  const entry = begin(url, bytes);
  entry.scene.then(
    (scene) => {
      if (preparing === entry) void theStage().show(scene);
    },
    () => {
      if (preparing === entry) preparing = null;
    },
  );
}

/** The scene, from where its preparation has come to. */
export async function sceneOf(url: string, bytes: number, progress: Progress): Promise<LoadedScene> {
  wanted = true;
  void loadMotions();
  const entry = preparing?.url === url ? preparing : begin(url, bytes);
  entry.listener = progress;
  progress(...entry.newest);
  // It is used up: what is shown is cleared away with the visit.
  preparing = null;
  return entry.scene;
}

function begin(url: string, bytes: number): Preparing {
  const entry: Preparing = {
    url,
    newest: [0, bytes],
    listener: () => {},
    scene: loadScene(url, bytes, (loaded, total) => {
      entry.newest = [loaded, total];
      entry.listener(loaded, total);
    }),
  };
  preparing = entry;
  return entry;
}
