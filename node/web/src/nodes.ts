// The nodes on which worlds are: this one, and others as they are found.
import type { NodeInfo } from "./api/node";
import type { Session } from "./api/session";
import type { Address } from "./travel/address";
import { homeHost, type Host } from "./travel/host";

export class Nodes {
  readonly home: Host;
  private readonly others = new Map<string, Host>();

  constructor(info: NodeInfo) {
    this.home = homeHost(info);
  }

  isHome({ serverName }: Address): boolean {
    return serverName === this.home.serverName;
  }

  knows({ serverName }: Address): boolean {
    return this.others.has(serverName);
  }

  /** The node of a world; another one is found by the node of this page, for those whom it knows. */
  async find(address: Address, session: Session | null): Promise<Host> {
    if (this.isHome(address)) return this.home;
    const found = this.others.get(address.serverName);
    if (found) return found;
    if (!session) throw new Error("nobody asks for another node without being somebody");
    // Few go to other nodes.
    const { abroad } = await import("./travel");
    const host = await abroad(address.serverName, session);
    this.others.set(address.serverName, host);
    return host;
  }
}
