// The dialog in which two devices compare emoji, from the question to the end.
import type { Flow } from "../../device/protocol";
import { t } from "../../i18n";
import { busy, h } from "../dom";
import { icon } from "../icons";
import { closeDialog, notice, openDialog } from "../shell";
import type { Messages } from "./model";
import { words } from "./words";

/** Whom to compare with. */
export type Whom =
  | { kind: "person"; userId: string; name: string }
  /** One of one's own devices, or whichever of them is there. */
  | { kind: "device"; deviceId: string | null };

/** Asks somebody, or a device of one's own, and shows how it goes. */
export async function verify(messages: Messages, whom: Whom, closed: () => void = () => {}): Promise<void> {
  try {
    const asked =
      whom.kind === "person"
        ? messages.call("verifyPerson", whom.userId)
        : messages.call("verifyDevice", whom.deviceId);
    flowDialog(messages, await asked, whom, closed);
  } catch (error) {
    notice(words(error, () => (whom.kind === "person" ? whom.name : "")), "bad");
  }
}

/** Takes up what another one asked. */
export async function accept(messages: Messages, flow: Flow, closed: () => void = () => {}): Promise<void> {
  const { id, userId, name, self, deviceId } = flow;
  try {
    await messages.call("acceptFlow", id);
    flowDialog(messages, id, self ? { kind: "device", deviceId } : { kind: "person", userId, name }, closed);
  } catch (error) {
    notice(words(error), "bad");
  }
}

function flowDialog(messages: Messages, id: string, whom: Whom, closed: () => void): void {
  const body = h("div", { class: "flow", attrs: { "aria-live": "polite" } });
  let last: Flow | null = null;
  let print = "";
  const draw = (): void => {
    const now = messages.overview?.flows.find((one) => one.id === id) ?? null;
    // One that went with the page that held the device is over.
    const lost = last !== null && !isOver(last) && messages.overview?.phase === "ready";
    const flow = now ?? (last !== null && lost ? { ...last, stage: "cancelled" as const, reason: "", cancelledByUs: true } : null);
    if (!flow) return;
    last = flow;
    const shown = JSON.stringify(flow);
    if (shown === print) return;
    print = shown;
    body.replaceChildren(...stage(messages, flow, whom, closed));
    body.querySelector<HTMLElement>("[data-first]")?.focus();
  };
  const unwatch = messages.watch(draw);
  const title = whom.kind === "device" ? t("verify.title_self") : t("verify.title", { name: whom.name });
  openDialog(title, [body], {
    closed: () => {
      unwatch();
      // Whoever closes the dialog in the middle does not want to go on.
      const over = last === null || isOver(last);
      void messages.call(over ? "dismissFlow" : "cancelFlow", id).catch(console.warn);
      closed();
    },
  });
  draw();
}

function isOver({ stage: now }: Flow): boolean {
  return now === "done" || now === "cancelled";
}

function stage(messages: Messages, flow: Flow, whom: Whom, closed: () => void): Node[] {
  const { name, self } = flow;
  const text = (key: string): HTMLElement => h("p", { class: "lead", text: key });
  const close = button("quiet", t("verify.cancel"), async () => closeDialog());
  switch (flow.stage) {
    case "asked":
    case "waiting":
      return [pulse(), text(self ? t("verify.waiting_self") : t("verify.waiting", { name })), close];
    case "ready": {
      const begin = button("primary", t("verify.begin"), () => messages.call("compareFlow", flow.id));
      begin.dataset.first = "";
      return [pulse(), text(t("verify.ready")), ...(flow.weAsked ? [] : [begin]), close];
    }
    case "comparing":
      return comparing(messages, flow);
    case "confirmed":
      return [pulse(), text(t("verify.confirmed")), close];
    case "done": {
      const end = button("primary", t("verify.close"), async () => closeDialog());
      end.dataset.first = "";
      return [sign("verified"), text(self ? t("verify.done_self") : t("verify.done", { name })), end];
    }
    case "cancelled": {
      const again = button("secondary", t("verify.again"), () => verify(messages, whom, closed));
      again.dataset.first = "";
      const end = button("quiet", t("verify.close"), async () => closeDialog());
      return [sign("caution"), text(why(flow)), again, end];
    }
  }
}

function comparing(messages: Messages, flow: Flow): Node[] {
  const names = t("verify.emoji_names").split("|");
  const emoji = flow.emoji.map(({ symbol, number }) =>
    h("li", {}, h("span", { class: "emoji", text: symbol, attrs: { "aria-hidden": "true" } }), h("span", { text: names[number] ?? "" })),
  );
  const match = button("primary", t("verify.match"), () => messages.call("matchFlow", flow.id, true));
  match.dataset.first = "";
  const mismatch = button("secondary", t("verify.mismatch"), () => messages.call("matchFlow", flow.id, false));
  return [
    h("p", { class: "lead", text: flow.self ? t("verify.compare_self") : t("verify.compare") }),
    h("ul", { class: "emoji-row", attrs: { "aria-label": t("verify.emoji") } }, ...emoji),
    match,
    mismatch,
  ];
}

function why({ reason, cancelledByUs, name, self }: Flow): string {
  if (reason === "m.mismatched_sas" || reason === "m.mismatched_commitment" || reason === "m.key_mismatch") {
    return t("verify.mismatched");
  }
  if (reason === "m.timeout") return t("verify.timeout");
  if (reason === "m.accepted") return t("verify.elsewhere");
  return cancelledByUs || self ? t("verify.cancelled") : t("verify.cancelled_them", { name });
}

function button(kind: string, text: string, deed: () => Promise<unknown>): HTMLButtonElement {
  const element = h("button", { class: kind, text, attrs: { type: "button" } });
  element.addEventListener("click", () =>
    void busy(element, async () => {
      try {
        await deed();
      } catch (error) {
        notice(words(error), "bad");
      }
    }),
  );
  return element;
}

function pulse(): HTMLElement {
  return h("span", { class: "pulse" });
}

function sign(name: "verified" | "caution"): HTMLElement {
  return h("span", { class: `flow-sign ${name}` }, icon(name));
}
