// The list of worlds, with their pictures and who is there.
import type { NodeInfo, World } from "../api/node";
import type { Session } from "../api/session";
import { count, list, t } from "../i18n";
import { asksLine } from "./asks";
import { busy, h } from "./dom";
import { icon, type Icon } from "./icons";
import { brand, scenery, screen } from "./shell";

export interface WorldsDoors {
  enter(world: World): void;
  look(): void;
  settings(): void;
  create(): void;
  keep(): void;
  signOut(): void;
  /** Declines to come. */
  decline(world: World): Promise<void>;
}

const NAMES_SHOWN = 3;

export function worldsScreen(
  node: NodeInfo,
  session: Session,
  worlds: readonly World[],
  doors: WorldsDoors,
): void {
  const bar = h(
    "header",
    { class: "bar" },
    brand(node.name),
    h(
      "nav",
      { class: "bar-buttons", attrs: { "aria-label": t("worlds.account") } },
      barButton("look", t("hud.look"), doors.look),
      barButton("settings", t("hud.settings"), doors.settings),
      session.guest
        ? barButton("check", t("hud.keep"), doors.keep)
        : barButton("leave", t("worlds.sign_out"), doors.signOut),
    ),
  );
  const heading = h(
    "div",
    { class: "worlds-head" },
    h(
      "div",
      {},
      h("h1", { text: t("worlds.greeting", { name: session.name }) }),
      h("p", { class: "lead", text: t("worlds.lead") }),
    ),
    !session.guest && createButton(doors),
  );
  const main = h("main", { class: "worlds" }, bar, heading, grid(session, worlds, doors));
  screen("worlds", scenery(), main);
}

/** Shows the worlds as they are now; whoever is on one of them stays there. */
export function redrawWorlds(session: Session, worlds: readonly World[], doors: WorldsDoors): void {
  const old = document.querySelector(".worlds > .worlds-grid, .worlds > .empty");
  if (!old) return;
  const focused = document.activeElement?.closest<HTMLElement>("[data-world]")?.dataset.world;
  old.replaceWith(grid(session, worlds, doors));
  if (focused) document.querySelector<HTMLElement>(`.worlds [data-world="${CSS.escape(focused)}"]`)?.focus();
}

function grid(session: Session, worlds: readonly World[], doors: WorldsDoors): HTMLElement {
  if (worlds.length === 0) {
    const text = session.guest ? t("worlds.empty") : t("worlds.empty_member");
    return h("p", { class: "lead empty", text });
  }
  const cards = [...worlds]
    .sort((a, b) => Number(b.invited ?? false) - Number(a.invited ?? false) || b.people - a.people || a.name.localeCompare(b.name))
    .map((world) => card(world, doors));
  return h("ul", { class: "worlds-grid" }, ...cards);
}

function barButton(name: Icon, text: string, deed: () => void): HTMLElement {
  const attrs = { type: "button" };
  const button = h("button", { class: "ghost", attrs }, icon(name), h("span", { text }));
  button.addEventListener("click", deed);
  return button;
}

function createButton(doors: WorldsDoors): HTMLElement {
  const attrs = { type: "button" };
  const button = h("button", { class: "secondary", attrs }, icon("plus"), t("worlds.create"));
  button.addEventListener("click", doors.create);
  return button;
}

function card(world: World, doors: WorldsDoors): HTMLElement {
  const full = world.people >= world.capacity;
  const button = h(
    "button",
    { class: "world", attrs: { type: "button", disabled: full, "data-world": world.room_id } },
    picture(world),
    h(
      "span",
      { class: "world-text" },
      h("span", { class: "world-name", text: world.name }),
      world.description !== "" && h("span", { class: "world-about", text: world.description }),
      h(
        "span",
        { class: world.people > 0 ? "world-people some" : "world-people" },
        h("span", { class: "dot", attrs: { "aria-hidden": "true" } }),
        full ? `${t("worlds.full")} · ${who(world)}` : who(world),
      ),
      chips(world),
    ),
  );
  button.addEventListener("click", () => {
    performance.mark("wayside:click");
    doors.enter(world);
  });
  return h("li", {}, button, world.invited === true && declineButton(world, doors));
}

/** Who may come, and for whom it is. */
function chips(world: World): HTMLElement | null {
  const { public: open, encrypted, invited, rating, asks = [] } = world;
  const line = asksLine(asks);
  const all = [
    invited && h("span", { class: "chip new", text: t("worlds.invited") }),
    line && h("span", { class: "chip for" }, icon("badge"), line),
    !open && !line && h("span", { class: "chip" }, icon(encrypted ? "shield" : "lock"), t(encrypted ? "worlds.encrypted" : "worlds.private")),
    rating !== "general" && h("span", { class: "chip", text: t(`worlds.rating.${rating}`) }),
  ].filter((chip) => chip instanceof HTMLElement);
  return all.length > 0 ? h("span", { class: "chips" }, ...all) : null;
}

function declineButton(world: World, doors: WorldsDoors): HTMLElement {
  const label = t("worlds.decline_name", { world: world.name });
  const button = h("button", { class: "ghost decline", text: t("worlds.decline"), attrs: { type: "button", "aria-label": label } });
  button.addEventListener("click", () => void busy(button, () => doors.decline(world)));
  return button;
}

function who(world: World): string {
  if (world.people === 0) return t("worlds.nobody");
  const names = world.names ?? [];
  if (names.length === 0) return count("people", world.people);
  const shown = names.slice(0, NAMES_SHOWN);
  const more = world.people - shown.length;
  if (more > 0) return t("people.more", { names: shown.join(", "), count: more });
  return t(shown.length === 1 ? "people.name" : "people.names", { names: list(shown) });
}

/** The preview, or a painted evening of the world's own where there is none. */
export function picture(world: Pick<World, "room_id" | "preview">): HTMLElement {
  const frame = h("span", { class: "picture" });
  frame.style.setProperty("--hue", `${[...world.room_id].reduce((sum, letter) => sum + letter.charCodeAt(0) * 7, 0) % 60}`);
  if (!world.preview) return frame;
  const image = h("img", { attrs: { src: world.preview, alt: "", decoding: "async" } });
  image.addEventListener("error", () => image.remove());
  frame.append(image);
  return frame;
}
