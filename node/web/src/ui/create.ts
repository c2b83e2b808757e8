// The page on which a member makes a world: the file, how it looks, its picture, what it is called.
import { ApiError } from "../api/http";
import { createWorld, type Issue, type NodeInfo, type Rating, uploadMedia } from "../api/node";
import type { Session } from "../api/session";
import { megabytes, t } from "../i18n";
import { AccessChoice } from "./access";
import { busy, field, freshId, h, say } from "./dom";
import { words } from "./errors";
import { Easel } from "./easel";
import { icon } from "./icons";
import { reportView } from "./report";
import { brand, scenery, screen } from "./shell";
import { SceneError } from "../world/scene";

export interface CreateDoors {
  cancel(): void;
  created(roomId: string): void;
}

const RATINGS: readonly Rating[] = ["general", "teen", "mature"];
const CAPACITY = 50;

export function createPage(node: NodeInfo, session: Session, doors: CreateDoors): void {
  new CreatePage(node, session, doors);
}

class CreatePage {
  private readonly canvas = h("canvas", {
    attrs: { hidden: true, tabindex: 0, role: "img", "aria-label": t("create.preview") },
  });
  /** What the canvas is called anyway is shown for the eyes only. */
  private readonly dragHint = h("p", { class: "easel-hint", text: t("create.preview"), attrs: { "aria-hidden": "true", hidden: true } });
  private readonly chooser: HTMLElement;
  private readonly easelFrame: HTMLElement;
  private readonly under = h("div", { class: "create-under" });
  private readonly found = h("div", { attrs: { "aria-live": "polite" } });
  private readonly wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  private readonly progress = h("progress", { attrs: { max: 1, value: 0, hidden: true } });
  private readonly status = h("p", { class: "hint", attrs: { role: "status", hidden: true } });
  private readonly name = field(t("create.name"), { maxlength: 100, required: true });
  private readonly description: HTMLTextAreaElement;
  private readonly capacity = field(t("create.capacity"), {
    type: "number",
    min: 1,
    max: 500,
    value: CAPACITY,
    inputmode: "numeric",
  });
  private readonly rating: HTMLSelectElement;
  private readonly access: AccessChoice;
  private easel: Easel | null = null;
  private file: File | null = null;
  /** Whether the files that are still being read can be shown. */
  private opening: Promise<boolean> | null = null;
  private picture: Blob | null = null;

  constructor(
    node: NodeInfo,
    private readonly session: Session,
    private readonly doors: CreateDoors,
  ) {
    this.access = new AccessChoice(session);
    const [aboutId, ratingId] = [freshId("about"), freshId("rating")];
    this.description = h("textarea", { attrs: { id: aboutId, maxlength: 1000, rows: 3 } });
    this.rating = h(
      "select",
      { attrs: { id: ratingId } },
      ...RATINGS.map((value) => h("option", { text: t(`create.rating.${value}`), attrs: { value } })),
    );
    this.chooser = this.fileChooser(t("create.file"));
    this.chooser.append(h("p", { class: "hint", text: t("create.drop") }));
    this.easelFrame = h("div", { class: "easel" }, this.canvas, this.dragHint, this.chooser);
    this.acceptDrops();
    const back = h("button", { class: "ghost", attrs: { type: "button" } }, icon("back"), t("create.cancel"));
    back.addEventListener("click", () => {
      this.easel?.dispose();
      doors.cancel();
    });
    const go = h("button", { class: "primary", text: t("create.do"), attrs: { type: "submit" } });
    const form = h(
      "form",
      { class: "form" },
      this.name.row,
      h("div", { class: "field" }, h("label", { text: t("create.description"), attrs: { for: aboutId } }), this.description),
      h(
        "div",
        { class: "two" },
        this.capacity.row,
        h("div", { class: "field" }, h("label", { text: t("create.rating"), attrs: { for: ratingId } }), this.rating),
      ),
      this.access.element,
      this.progress,
      this.status,
      this.wrong,
      this.found,
      go,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void busy(go, () => this.make());
    });
    const main = h(
      "main",
      { class: "create" },
      h("header", { class: "bar" }, brand(node.name), back),
      h("h1", { text: t("create.title") }),
      h("p", { class: "lead", text: t("create.lead") }),
      h("div", { class: "create-grid" }, h("div", {}, this.easelFrame, this.under), form),
    );
    screen("create", scenery(), main);
  }

  private fileChooser(text: string): HTMLElement {
    const id = freshId("glb");
    const input = h("input", { attrs: { id, type: "file", accept: ".glb,model/gltf-binary" } });
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      // The same file may have been mended meanwhile, and be chosen again.
      input.value = "";
      if (file) this.open(file);
    });
    return h(
      "div",
      { class: "upload" },
      input,
      h("label", { class: "secondary", attrs: { for: id } }, icon("upload"), text),
    );
  }

  private acceptDrops(): void {
    const { easelFrame } = this;
    easelFrame.addEventListener("dragover", (event) => {
      event.preventDefault();
      easelFrame.classList.add("over");
    });
    easelFrame.addEventListener("dragleave", () => easelFrame.classList.remove("over"));
    easelFrame.addEventListener("drop", (event) => {
      event.preventDefault();
      easelFrame.classList.remove("over");
      const file = event.dataTransfer?.files[0];
      if (file) this.open(file);
    });
  }

  /** Opens a file after those that were chosen before it. */
  private open(file: File): void {
    const before = this.opening ?? Promise.resolve(true);
    const opening = before.then(() => this.read(file));
    this.opening = opening;
    void opening.then(() => {
      if (this.opening === opening) this.opening = null;
    });
  }

  /** Reads a scene, and says whether it can be shown. */
  private async read(file: File): Promise<boolean> {
    this.forgive();
    say(this.status, t("create.reading", { file: file.name }));
    try {
      this.canvas.hidden = false;
      this.easel ??= new Easel(this.canvas);
      const seen = await this.easel.open(await file.arrayBuffer());
      this.file = file;
      this.chooser.hidden = true;
      this.dragHint.hidden = false;
      const values = { ...seen, megabytes: megabytes(file.size) };
      if (this.name.input.value === "") this.name.input.value = nameOf(file);
      this.drawUnder(t("create.summary", values));
      // The button that had the focus may be gone.
      if (document.activeElement === document.body) this.name.input.focus();
      await this.takePicture();
      return true;
    } catch (error) {
      console.warn("the scene cannot be read", error);
      this.canvas.hidden = this.file === null;
      const kept = this.file === null ? "" : ` ${t("create.kept", { file: this.file.name })}`;
      this.refuse(t("create.broken") + kept, [{ code: "unreadable", severity: "error", message: reasonOf(error) }]);
      return false;
    } finally {
      say(this.status, null);
    }
  }

  /** Takes back what was said of the last try. */
  private forgive(): void {
    say(this.wrong, null);
    this.found.replaceChildren();
  }

  private refuse(verdict: string, issues: readonly Issue[]): void {
    const report = reportView(verdict, issues);
    this.found.replaceChildren(report);
    report.scrollIntoView({ block: "nearest" });
  }

  private drawUnder(summary: string): void {
    const again = h("button", { class: "secondary", text: t("create.snapshot"), attrs: { type: "button" } });
    again.addEventListener("click", () => void this.takePicture());
    this.under.replaceChildren(
      h("span", { class: "picture" }),
      h("p", { class: "hint", text: summary }),
      h("div", { class: "create-tools" }, again, this.fileChooser(t("create.change"))),
    );
  }

  private async takePicture(): Promise<void> {
    this.picture = (await this.easel?.picture()) ?? null;
    const frame = this.under.querySelector(".picture");
    if (!this.picture || !frame) return;
    const before = frame.querySelector("img");
    if (before) URL.revokeObjectURL(before.src);
    const src = URL.createObjectURL(this.picture);
    frame.replaceChildren(h("img", { attrs: { src, alt: t("create.picture") } }));
  }

  private async make(): Promise<void> {
    // What is made is the file that was chosen last, also while it is still being read.
    if (this.opening && !(await this.opening)) return;
    this.forgive();
    if (!this.file) {
      say(this.wrong, t("create.need_file"));
      return;
    }
    this.progress.hidden = false;
    try {
      const { file, picture, session } = this;
      const sent = (done: number, total: number): void => this.sent(done, total);
      const scene = await uploadMedia(file, file.name, session, sent);
      const preview = picture ? await uploadMedia(picture, "preview.jpg", session, () => {}) : null;
      say(this.status, t("create.making"));
      const made = await createWorld(
        {
          name: this.name.input.value.trim(),
          description: this.description.value.trim(),
          scene,
          preview,
          capacity: Number(this.capacity.input.value) || CAPACITY,
          rating: this.rating.value as Rating,
          ...this.access.value,
        },
        session,
      );
      this.easel?.dispose();
      this.doors.created(made.room_id);
    } catch (error) {
      const report = error instanceof ApiError ? (error.body.report as { issues?: Issue[] } | undefined) : undefined;
      if (report) this.refuse(t("create.refused"), report.issues ?? []);
      else say(this.wrong, words(error));
    } finally {
      this.progress.hidden = true;
      say(this.status, null);
    }
  }

  private sent(sent: number, total: number): void {
    this.progress.value = sent / total;
    say(this.status, t("create.uploading", { percent: Math.round((100 * sent) / total) }));
  }
}

/** What the reader of scenes stumbled over. */
function reasonOf(error: unknown): string {
  const cause = error instanceof SceneError ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}

/** What a file is called, as a name to begin with. */
function nameOf(file: File): string {
  const plain = file.name.replace(/\.glb$/i, "").replace(/[_-]+/g, " ").trim();
  return plain.charAt(0).toUpperCase() + plain.slice(1);
}
