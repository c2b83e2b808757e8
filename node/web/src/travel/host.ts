// The node on which a world is: where it answers, and how somebody is let in there.
import { type NamedAsk, readAsks } from "../api/asks";
import { ApiError } from "../api/http";
import { inviteGuests, type NodeInfo, type Visit, visit, type World, world } from "../api/node";
import { type Portal, portalsOf } from "../api/portals";
import type { Session } from "../api/session";
import { t } from "../i18n";
import type { Lack } from "../present/holder";
import { addressOf, pathTo } from "./address";
import type { Consent } from "./disclosure";

/** A link that leads somebody into a world, and whom it lets in. */
export interface Way {
  link: string;
  about: string;
}

export interface Host {
  readonly serverName: string;
  /** Whether the person lives there: it alone knows their account. */
  readonly isHome: boolean;
  /** What it gives, as an address of the web. */
  at(reference: string): string;
  /** One of its worlds; null where there is none for everybody to see, nor for this person. */
  world(name: string, session: Session | null): Promise<World | null>;
  /** Lets somebody in; what nobody there has seen of them is shown by their consent alone, and where there is none, not. */
  admit(name: string, session: Session, consent?: Consent): Promise<Visit>;
  /** Brings somebody into the room of a world, where being let in has not. */
  join(roomId: string, session: Session): Promise<void>;
  /** The page of a world. */
  page(world: World): string;
  /** The portals of a world, as far as this person may see them. */
  portals(roomId: string, session: Session): Promise<Portal[]>;
  /** How others come into a world that is for everybody. */
  way(world: World, session: Session): Promise<Way>;
}

/** Why somebody cannot show there who they are, or is not asked to. */
export type Untold =
  | Lack
  /** Guests are nobody elsewhere. */
  | "guest"
  /** The home said nothing about them, or something about another. */
  | "unvouched"
  /** That node takes nobody's word for who they are. */
  | "unasked"
  /** Its address is none to which anything is told. */
  | "unsafe"
  /** The room that it calls that of the world is another. */
  | "misled";

export class UntoldError extends Error {
  override name = "UntoldError";

  constructor(readonly why: Untold) {
    super(`a visit elsewhere: ${why}`);
  }
}

const REASON = "org.wayside.reason";
const WITHHELD = "withheld";
/** Where nothing is. */
export const NOWHERE = "about:invalid";

/** What a node gives lies on that node: what would lead elsewhere leads nowhere. */
export function reach(base: string, reference: string): string {
  const url = URL.canParse(reference, base) ? new URL(reference, base) : null;
  return url?.origin === new URL(base).origin ? url.href : NOWHERE;
}

/** A world with whole addresses, and with what it asks for read. */
export function placed(base: string, { preview, scene, asks, visitors_ask, ...rest }: World): World {
  const asked = { asks: readAsks(asks), visitors_ask: readAsks(visitors_ask) };
  return { ...rest, ...asked, preview: preview === null ? null : reach(base, preview), scene: { ...scene, url: reach(base, scene.url) } };
}

/** A visit that may begin, with whole addresses. */
export function opened(base: string, { transports, world, ...rest }: Visit): Visit {
  const ways = transports.map(({ kind, url }) => ({ kind, url: reach(base, url) }));
  return { ...rest, transports: ways.filter(({ url }) => url !== NOWHERE), world: placed(base, world) };
}

/** Portals whose pictures have whole addresses. */
export function portalsAt(base: string, portals: Portal[]): Portal[] {
  return portals.map((portal) => {
    const { target } = portal;
    const preview = target?.preview ? reach(base, target.preview) : null;
    return { ...portal, target: target && { ...target, preview } };
  });
}

/** What is not there is null; every other trouble is one. */
export async function optional<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ApiError && (error.status === 404 || error.status === 403)) return null;
    throw error;
  }
}

/** Whether somebody is not let in because they hold none of what is asked for, or have shown none. */
export const isLacking = (error: unknown): error is ApiError =>
  error instanceof ApiError && error.status === 403 && ["lacking", WITHHELD].includes(String(error.body[REASON]));

/** The same refusal of somebody who holds something that fits, and went without showing it. */
export function withheld({ status, code, message, body }: ApiError): ApiError {
  return new ApiError(status, code, message, null, { ...body, [REASON]: WITHHELD });
}

/** What a world asks for into which somebody is not let for the lack of it, as far as that can be learned. */
export async function lacked(host: Host, name: string, session: Session): Promise<readonly NamedAsk[]> {
  try {
    return asksOf(await host.world(name, session), !host.isHome);
  } catch (trouble) {
    console.warn("it is not known what the world asks for", trouble);
    return [];
  }
}

/** What somebody has to show one of to come into a world, who lives on another node or on that of the world. */
export function asksOf(world: World | null, isAway: boolean): readonly NamedAsk[] {
  if (world?.asks?.length) return world.asks;
  return (isAway && world?.visitors_ask) || [];
}

/** A world, or null where there is none. What not everybody sees is shown to whom it lets in. */
export async function sought(host: Host, name: string, session: Session, consent?: Consent): Promise<World | null> {
  const found = await host.world(name, session);
  if (found) return found;
  try {
    return (await host.admit(name, session, consent)).world;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** The node of this page. */
export function homeHost(node: NodeInfo): Host {
  const base = location.origin;
  const { server_name: serverName, public_url: address } = node;
  // The address by which others reach the node: whoever runs it may be at "localhost".
  const page = (world: World): string => address.replace(/\/+$/, "") + pathTo(addressOf(world, serverName), serverName);
  return {
    serverName,
    isHome: true,
    at: (reference) => reach(base, reference),
    world: async (name, session) => {
      const found = await optional(world(name, session?.token ?? null));
      return found && placed(base, found);
    },
    admit: async (name, session) => opened(base, await visit(name, session)),
    join: async () => {},
    page,
    portals: async (roomId, { token }) => portalsAt(base, (await optional(portalsOf(roomId, token))) ?? []),
    way: async (world, session) => {
      if (node.registration === "open") return { link: page(world), about: t("hud.invite_page") };
      if (session.guest) return { link: page(world), about: t("hud.invite_guest") };
      const { invitation } = await inviteGuests(session);
      return { link: `${page(world)}?invitation=${invitation}`, about: t("hud.invite_done") };
    },
  };
}
