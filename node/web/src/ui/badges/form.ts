// The form by which a badge is chosen or thought up, and until when it counts.
import "./badges.css";
import { type Badge, DESCRIPTION_LETTERS, NAME_LETTERS } from "../../api/badges";
import { t } from "../../i18n";
import { busy, field, freshId, h, say } from "../dom";
import { icon } from "../icons";
import { ID_LETTERS, ID_PATTERN, slugOf } from "./slug";
import { badgeWords } from "./words";

/** What stands for a badge that is not there yet: no id is empty. */
const NEW = "";

export class BadgeForm {
  readonly element: HTMLFormElement;
  private readonly which: HTMLSelectElement;
  private readonly name = field(t("badges.name"), { maxlength: NAME_LETTERS, autocomplete: "off" });
  private readonly description = field(t("badges.description"), { maxlength: DESCRIPTION_LETTERS, autocomplete: "off" });
  private readonly id = field(
    t("badges.id"),
    { maxlength: ID_LETTERS, pattern: ID_PATTERN, autocomplete: "off", autocapitalize: "none", spellcheck: "false" },
    t("badges.id_hint"),
  );
  private readonly until = field(t("badges.until_when"), { type: "date", min: dayFrom(1) }, t("badges.until_hint"));
  private readonly wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  private readonly details: HTMLDetailsElement;
  private readonly fresh: HTMLElement;
  /** Whether somebody has written the id by hand. */
  private isOwnId = false;

  constructor(
    private readonly all: readonly Badge[],
    private readonly deed: (badge: Badge, untilMs: number | null) => Promise<void>,
  ) {
    const id = freshId("badge");
    const options = [...all.map(({ id: value, name }) => ({ value, text: name })), { value: NEW, text: t("badges.new") }];
    this.which = h("select", { attrs: { id } }, ...options.map(({ value, text }) => h("option", { text, attrs: { value } })));
    this.details = h("details", {}, h("summary", { text: t("badges.details") }), this.id.row);
    this.fresh = h("div", { class: "form" }, this.name.row, this.description.row, this.details);
    const chosen = h("div", { class: "field", attrs: { hidden: all.length === 0 } }, h("label", { text: t("badges.which"), attrs: { for: id } }), this.which);
    const go = h("button", { class: "primary", attrs: { type: "submit" } }, icon("badge"), t("badges.give"));
    this.element = h("form", { class: "form badge-form" }, chosen, this.fresh, this.until.row, this.wrong, go);
    this.listen(go);
    this.turn();
  }

  focus(): void {
    (this.all.length === 0 ? this.name.input : this.which).focus();
  }

  private listen(go: HTMLButtonElement): void {
    this.which.addEventListener("change", () => this.turn());
    this.name.input.addEventListener("input", () => this.suggest());
    this.id.input.addEventListener("input", () => {
      this.isOwnId = this.id.input.value !== "";
    });
    // What is wrong is shown, also where it is folded away.
    this.id.input.addEventListener("invalid", () => {
      this.details.open = true;
    });
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      void busy(go, () => this.submit());
    });
  }

  /** Shows what is to be said of a new badge, where it is one. */
  private turn(): void {
    const isNew = this.which.value === NEW;
    this.fresh.hidden = !isNew;
    // What is hidden is not asked for.
    this.name.input.required = this.id.input.required = isNew;
    this.description.input.disabled = this.name.input.disabled = this.id.input.disabled = !isNew;
  }

  private suggest(): void {
    if (this.isOwnId) return;
    const { value } = this.name.input;
    this.id.input.value = slugOf(value);
    if (value.trim() !== "" && this.id.input.value === "") this.details.open = true;
  }

  private async submit(): Promise<void> {
    say(this.wrong, null);
    const badge = this.read();
    if (badge === null) {
      say(this.wrong, t("badges.id_taken", { id: this.id.input.value }));
      return;
    }
    try {
      await this.deed(badge, endOf(this.until.input.value));
    } catch (error) {
      say(this.wrong, badgeWords(error));
    }
  }

  /** The badge that is to be given; null where a new one would have the id of another. */
  private read(): Badge | null {
    const found = this.all.find(({ id }) => id === this.which.value);
    if (found) return found;
    const id = this.id.input.value;
    if (this.all.some((other) => other.id === id)) return null;
    return { id, name: this.name.input.value.trim(), description: this.description.input.value.trim() };
  }
}

/** The day that is so many after today, as fields of dates write it. */
function dayFrom(days: number): string {
  const now = new Date();
  const day = new Date(now.getFullYear(), now.getMonth(), now.getDate() + days);
  return [day.getFullYear(), day.getMonth() + 1, day.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
}

/** The moment at which a day ends where the person is; null where none was chosen. */
export function endOf(day: string): number | null {
  const [year = 0, month = 0, date = 0] = day.split("-").map(Number);
  return day === "" ? null : new Date(year, month - 1, date + 1).getTime();
}
