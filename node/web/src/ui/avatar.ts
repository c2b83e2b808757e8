// The wardrobe: choosing among the bodies made for somebody, and bringing one's own.
import {
  removeUpload,
  type Report,
  type Uploaded,
  uploadAvatar,
  type Wardrobe,
  wardrobe,
  wearUpload,
  wearVariant,
} from "../api/avatars";
import { ApiError } from "../api/http";
import type { Session } from "../api/session";
import { isKey, t } from "../i18n";
import { freshId, h, say } from "./dom";
import { words } from "./errors";
import { icon } from "./icons";
import { Mirror } from "./mirror";
import { reportView } from "./report";
import { notice, openDialog } from "./shell";

const REST_MS = 140;

/** `keep` leads a guest to an account of their own; whoever opened the dialog is told whether others see something else now. */
export function avatarDialog(session: Session, keep: () => void, closed: (changed: boolean) => void = () => {}): void {
  const dialog = new AvatarDialog(session, keep, closed);
  void dialog.refresh();
}

class AvatarDialog {
  private readonly mirror: Mirror;
  private readonly name = h("p", { class: "mirror-name" });
  private readonly wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  private readonly own = h("ul", { class: "own-list" });
  private readonly found = h("div", { attrs: { "aria-live": "polite" } });
  private readonly progress = h("progress", { attrs: { max: 1, value: 0, hidden: true } });
  private readonly status = h("p", { class: "hint", attrs: { role: "status", hidden: true } });
  private readonly choose = h("button", { class: "primary", text: t("avatar.wear_look"), attrs: { type: "button" } });
  private now: Wardrobe | null = null;
  private changed = false;
  /** The body whose licence was changed just now. */
  private licensing: string | null = null;
  private wanted = "";
  private resting: ReturnType<typeof setTimeout> | undefined;
  /** Which of the looks the mirror shows; null while it shows a body of the person's own. */
  private shown: number | null = null;

  constructor(
    private readonly session: Session,
    private readonly keep: () => void,
    closed: (changed: boolean) => void,
  ) {
    const canvas = h("canvas", { attrs: { tabindex: 0, role: "img", "aria-label": t("avatar.turn") } });
    const frame = h(
      "div",
      { class: "mirror" },
      canvas,
      this.step("previous", -1),
      this.step("next", 1),
      this.name,
      this.wrong,
    );
    this.choose.disabled = true;
    this.choose.addEventListener("click", () => {
      const { shown } = this;
      if (shown !== null) void this.change(() => wearVariant(shown, this.session));
    });
    const side = h(
      "div",
      { class: "wardrobe-side" },
      h("p", { class: "lead", text: t("avatar.lead") }),
      this.choose,
      ...(session.guest ? this.guests() : [this.bring()]),
    );
    openDialog(t("avatar.title"), [h("div", { class: "wardrobe" }, frame, side)], {
      wide: true,
      closed: () => {
        clearTimeout(this.resting);
        this.mirror.dispose();
        closed(this.changed);
      },
    });
    this.mirror = new Mirror(canvas);
  }

  private step(way: "previous" | "next", by: number): HTMLElement {
    const attrs = { type: "button", "aria-label": t(`avatar.${way}`) };
    const button = h("button", { class: `round mirror-step ${way}`, attrs }, icon(way));
    button.addEventListener("click", () => {
      if (!this.now) return;
      const { looks, generated } = this.now;
      const from = this.shown ?? generated.variant;
      this.look((from + by + looks.length) % looks.length);
    });
    return button;
  }

  /** Shows one of the looks in the mirror; nobody else sees it before it is worn. */
  private look(variant: number): void {
    const { now } = this;
    const url = now?.looks[variant] ?? now?.generated.url;
    if (!now || !url) return;
    this.shown = variant;
    this.name.textContent = t("avatar.variant", { number: variant + 1, count: now.looks.length });
    this.mirrored(url, now.worn.kind === "generated" && now.generated.variant === variant);
  }

  private mirrored(url: string, worn: boolean): void {
    this.choose.disabled = worn;
    this.choose.textContent = t(worn ? "avatar.worn_look" : "avatar.wear_look");
    say(this.wrong, null);
    this.wanted = url;
    // Who steps on quickly is shown where they come to rest: each body is made by the node.
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      this.mirror.show(url).catch(() => {
        if (this.wanted === url) say(this.wrong, t("avatar.failed"));
      });
    }, REST_MS);
  }

  private guests(): HTMLElement[] {
    const keep = h("button", { class: "secondary", attrs: { type: "button" } }, icon("check"), t("hud.keep"));
    keep.addEventListener("click", this.keep);
    return [h("p", { class: "hint", text: t("avatar.guest") }), keep];
  }

  private bring(): HTMLElement {
    const id = freshId("vrm");
    const input = h("input", { attrs: { id, type: "file", accept: ".vrm,model/gltf-binary" } });
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      input.value = "";
      if (file) void this.upload(file);
    });
    const label = h("label", { class: "secondary", attrs: { for: id } }, icon("upload"), t("avatar.upload"));
    return h(
      "div",
      { class: "upload" },
      input,
      label,
      h("p", { class: "hint", text: t("avatar.upload_hint") }),
      this.progress,
      this.status,
      this.found,
      h("h2", { text: t("avatar.own") }),
      this.own,
    );
  }

  async refresh(): Promise<void> {
    try {
      this.draw(await wardrobe(this.session));
    } catch (error) {
      say(this.wrong, words(error));
    }
  }

  private async change(deed: () => Promise<object>): Promise<void> {
    say(this.wrong, null);
    try {
      await deed();
      this.changed = true;
      await this.refresh();
    } catch (error) {
      say(this.wrong, words(error));
    }
  }

  private draw(now: Wardrobe): void {
    this.now = now;
    const worn = now.worn.kind === "uploaded" ? now.uploads.find((one) => one.sha256 === now.worn.sha256) : null;
    if (worn) {
      this.shown = null;
      this.name.textContent = worn.name;
      this.mirrored(worn.url, true);
    } else {
      this.look(now.generated.variant);
    }
    this.own.replaceChildren(...now.uploads.map((one) => this.row(one, one === worn)));
    const heading = this.own.previousElementSibling;
    if (heading instanceof HTMLElement) heading.hidden = now.uploads.length === 0;
  }

  private row(one: Uploaded, worn: boolean): HTMLElement {
    const wear = h(
      "button",
      { class: "wear", attrs: { type: "button", "aria-pressed": String(worn), title: t("avatar.wear", { name: one.name }) } },
      h("span", { text: one.name }),
      worn && h("span", { class: "worn", text: t("avatar.worn") }),
    );
    wear.addEventListener("click", () => void this.change(() => wearUpload(one.sha256, this.session)));
    const remove = h(
      "button",
      { class: "round small", attrs: { type: "button", "aria-label": t("avatar.remove", { name: one.name }) } },
      icon("close"),
    );
    remove.addEventListener("click", () => void this.change(() => removeUpload(one.sha256, this.session)));
    const row = h("li", {}, wear, remove);
    if (isLimited(one)) void this.licence(one, row);
    return row;
  }

  /** Other nodes show a body that not everybody may wear only with a licence. */
  private async licence(one: Uploaded, row: HTMLElement): Promise<void> {
    try {
      const { licencePart } = await import("./licence");
      const part = await licencePart(one, this.session, async () => {
        this.changed = true;
        this.licensing = one.sha256;
        await this.refresh();
      });
      row.append(part);
      // Whoever has just pressed a button here stays here.
      if (this.licensing === one.sha256) part.querySelector("button")?.focus();
      this.licensing = null;
    } catch (error) {
      // It can be worn at home without.
      console.warn("the licence of a body cannot be shown", error);
    }
  }

  private async upload(file: File): Promise<void> {
    say(this.wrong, null);
    this.found.replaceChildren();
    this.progress.hidden = false;
    try {
      const made = await uploadAvatar(file, this.session, (sent, total) => this.sent(sent, total));
      this.tell(made.report, t("avatar.accepted"));
      await wearUpload(made.sha256, this.session);
      this.changed = true;
      notice(t("avatar.accepted"));
      await this.refresh();
    } catch (error) {
      const report = error instanceof ApiError ? (error.body.report as Report | undefined) : undefined;
      if (report) this.tell(report, t("avatar.refused"));
      else say(this.wrong, words(error));
    } finally {
      this.progress.hidden = true;
      say(this.status, null);
    }
  }

  private sent(sent: number, total: number): void {
    this.progress.value = sent / total;
    const percent = Math.round((100 * sent) / total);
    say(this.status, sent < total ? t("avatar.uploading", { percent }) : t("avatar.checking"));
  }

  private tell(report: Report, verdict: string): void {
    const rank = `avatar.rank.${report.rank}`;
    const lead = report.accepted && isKey(rank) ? `${verdict} ${t(rank)}` : verdict;
    this.found.replaceChildren(reportView(lead, report.issues ?? []));
  }
}

/** Whether its file lets only some people wear it. */
function isLimited({ report, licensed }: Uploaded): boolean {
  const permission = report.licence?.avatar_permission;
  return licensed !== undefined && (permission === "onlyAuthor" || permission === "onlySeparatelyLicensedPerson");
}
