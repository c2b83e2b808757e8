// The way from one world into another: it is open before anybody sets out, and whoever is not let in stays.
import { ApiError } from "./api/http";
import type { NodeInfo, Visit as Ticket } from "./api/node";
import type { Session } from "./api/session";
import { consentBy } from "./consent";
import { loadMore, t } from "./i18n";
import type { Address } from "./travel/address";
import type { Consent } from "./travel/disclosure";
import { type Host, isLacking, lacked, UntoldError } from "./travel/host";
import { isKnown, know } from "./travel/known";
import { asksWords } from "./ui/asks";
import { whyHere } from "./ui/closed";
import { h } from "./ui/dom";
import { goingDialog } from "./ui/going";
import { closeDialog, notice } from "./ui/shell";

/** Where somebody wants to go. */
export interface Goal {
  address: Address;
  /** What the world is called; its address, where that is not known. */
  name: string;
  /** Whether they come from there, and know by that who learns of them. */
  back: boolean;
}

export interface PassageDoors {
  host(address: Address): Promise<Host>;
  /** Goes in with the ticket. */
  enter(host: Host, ticket: Ticket): void;
  /** Keys rest while something is asked. */
  pause(yes: boolean): void;
  /** Takes a headset off, in which nothing of the page is seen. */
  takeOff(): Promise<void>;
  /** The account is signed out. */
  signedOut(): void;
}

/** Whether somebody has gone; if not, why, where they did not turn back by themselves. */
export type Outcome = { gone: true } | { gone: false; why: string | null };

const STAYED: Outcome = { gone: false, why: null };

/** Somebody on their way: nobody waits for an answer who has turned back. */
interface Errand {
  turnBack(): void;
}

export class Passage {
  private errand: Errand | null = null;
  private banner: HTMLElement | null = null;
  /** Whether a dialog is open in which somebody says that they go, or what they show there. */
  private asking = false;

  constructor(
    private readonly place: HTMLElement,
    private readonly node: NodeInfo,
    private readonly session: () => Session,
    private readonly doors: PassageDoors,
  ) {}

  /** Opens the way, and goes when it is open. A way that was being opened before is given up. */
  open(goal: Goal): Promise<Outcome> {
    this.cancel();
    return new Promise((resolve) => {
      const errand: Errand = { turnBack: () => resolve(STAYED) };
      this.errand = errand;
      void this.attempt(goal, () => this.errand === errand).then(resolve);
    });
  }

  private async attempt(goal: Goal, isMine: () => boolean): Promise<Outcome> {
    let host: Host | null = null;
    try {
      if (!(await this.agreed(goal)) || !isMine()) return STAYED;
      this.tell(goal);
      host = await this.doors.host(goal.address);
      if (!isMine()) return STAYED;
      const ticket = await host.admit(goal.address.name, this.session(), this.consent(isMine));
      if (isMine()) await this.doors.takeOff();
      if (!isMine()) return STAYED;
      this.clear();
      this.doors.enter(host, ticket);
      return { gone: true };
    } catch (error) {
      return isMine() ? await this.refused(goal, error, host) : STAYED;
    } finally {
      if (isMine()) this.clear();
    }
  }

  cancel(): void {
    const { errand } = this;
    this.clear();
    errand?.turnBack();
  }

  private clear(): void {
    if (this.asking) closeDialog();
    this.errand = null;
    this.banner?.remove();
    this.banner = null;
  }

  /** Whoever goes to a node for the first time is told that it learns who they are. */
  private async agreed({ address: { serverName }, back }: Goal): Promise<boolean> {
    await loadMore("portals");
    if (serverName === this.node.server_name) return true;
    await loadMore("travel");
    if (this.session().guest) throw new UntoldError("guest");
    if (back || isKnown(serverName)) return true;
    await this.doors.takeOff();
    const agrees = await goingDialog(serverName, this.asks);
    if (agrees) know(serverName);
    return agrees;
  }

  private consent(isWanted: () => boolean): Consent {
    return consentBy({ pause: this.asks, isWanted, takeOff: () => this.doors.takeOff() });
  }

  private readonly asks = (yes: boolean): void => {
    this.asking = yes;
    this.doors.pause(yes);
  };

  private tell({ name }: Goal): void {
    const cancel = h("button", { class: "inline", text: t("portals.cancel"), attrs: { type: "button" } });
    cancel.addEventListener("click", () => this.cancel());
    const pulse = h("span", { class: "pulse", attrs: { "aria-hidden": "true" } });
    const text = h("span", { text: t("portals.opening", { world: name }) });
    this.banner = h("div", { class: "panel banner passage", attrs: { role: "status" } }, pulse, text, cancel);
    this.place.append(this.banner);
  }

  /** Says why; a node that was found and says that it has nothing of that kind has no such world for them. */
  private async refused({ address: { name, serverName } }: Goal, error: unknown, host: Host | null): Promise<Outcome> {
    const isHere = serverName === this.node.server_name;
    if (isHere && error instanceof ApiError && error.status === 401) {
      this.doors.signedOut();
      return STAYED;
    }
    const isMissing = host !== null && error instanceof ApiError && error.status === 404;
    const about = await this.words(isMissing ? null : error, serverName, isHere);
    const asks = host && isLacking(error) ? await lacked(host, name, this.session()) : [];
    const why = asks.length > 0 ? `${about} ${asksWords(asks)}` : about;
    notice(why, "bad");
    return { gone: false, why };
  }

  private async words(error: unknown, serverName: string, isHere: boolean): Promise<string> {
    if (error instanceof ApiError && error.status === 503 && error.code === "M_LIMIT_EXCEEDED") return t("portals.full_now");
    if (isHere) return whyHere(error).about;
    const { whyNot } = await import("./travel");
    return whyNot(error, serverName, this.node.server_name).about;
  }
}
