// The screen between a click and the first step: where to, and how much of it is there.
import type { World } from "../api/node";
import { megabytes, t } from "../i18n";
import { h } from "./dom";
import { picture } from "./worlds";

export class Loading {
  readonly element: HTMLElement;
  private readonly bar: HTMLProgressElement;
  private readonly text: HTMLElement;
  private readonly title: HTMLElement;

  constructor(world: World, cancel: () => void) {
    this.title = h("h1", { text: t("loading.title", { world: world.name }) });
    this.bar = h("progress", { attrs: { max: 1, value: 0, "aria-label": t("loading.connecting") } });
    this.text = h("p", { class: "loading-text", text: t("loading.connecting") });
    const back = h("button", { class: "quiet", text: t("loading.cancel"), attrs: { type: "button" } });
    back.addEventListener("click", cancel);
    this.element = h(
      "div",
      { class: "loading", attrs: { role: "status" } },
      h("div", { class: "loading-picture" }, picture(world)),
      h("div", { class: "loading-card" }, this.title, this.bar, this.text, back),
    );
  }

  progress(loaded: number, total: number): void {
    this.bar.value = total > 0 ? (loaded / total) * 0.92 : 0;
    const values = { loaded: megabytes(loaded), total: megabytes(total) };
    this.say(t("loading.bytes", values));
  }

  building(): void {
    this.bar.value = 0.96;
    this.say(t("loading.building"));
  }

  say(text: string): void {
    this.text.textContent = text;
  }

  /** Fades away over the world. */
  done(): void {
    this.element.classList.add("going");
    setTimeout(() => this.element.remove(), 700);
  }
}
