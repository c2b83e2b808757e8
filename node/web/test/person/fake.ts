// A node and browsers to test with: a log that is judged as a node does, and stores that forget nothing.
import { ApiError } from "../../src/api/http";
import type { KeptKey, KeyStore } from "../../src/identity/device";
import { Log } from "../../src/identity/log";
import type { PersonNode, Said, Sought, UnpackedSaid, Wanted } from "../../src/person/node";
import { type Doors, OwnIdentity } from "../../src/person/own";
import type { KeptSecrets, PersonStore, Seen } from "../../src/person/store";
import { MINUTE, multikey, START } from "../identity/ada";

export const ADA = "@ada:a.example";

const refusal = (why: string): ApiError => new ApiError(400, "M_INVALID_PARAM", why, null, {});
const missing = (): ApiError => new ApiError(404, "M_NOT_FOUND", "nobody has it", null, {});

/** A node that has one account. */
export class FakeNode implements PersonNode {
  text: string | null = null;
  saved = false;
  sealKey: string | null = null;
  /** What others keep of somebody who comes from elsewhere, and whom it was asked for. */
  found: Sought | null = null;
  wanted: Wanted | null = null;
  /** What was unpacked here. */
  readonly unpacked: string[] = [];
  kept: string | null = null;
  host: string | null = "a.example";
  linked: string | null = null;
  nodeKey = "";
  service = "https://a.example/";
  /** What happens to whatever is asked next: it is refused, or done without an answer. */
  trouble: { ask: string; done: boolean } | null = null;
  readonly asked: string[] = [];

  static async begin(host = "a.example"): Promise<FakeNode> {
    const node = new FakeNode();
    node.nodeKey = await multikey(100);
    [node.host, node.service] = [host, `https://${host}/`];
    return node;
  }

  async look(): Promise<Said> {
    return this.#meets("look", async () => this.#said());
  }

  async write(lines: string): Promise<Said> {
    return this.#meets("write", async () => {
      const before = this.text;
      const whole = `${before ?? ""}${lines.trimEnd()}\n`;
      await Log.read(whole).catch((error: unknown) => {
        throw refusal(String(error));
      });
      if (this.text !== before) throw refusal("the log has gone on meanwhile: read it again");
      this.text = whole;
      return this.#said();
    });
  }

  async noteSaved(sealKey: string | null): Promise<void> {
    await this.#meets("saved", async () => {
      this.saved = true;
      this.sealKey = sealKey ?? this.sealKey;
    });
  }

  async search(wanted: Wanted): Promise<Sought> {
    this.wanted = wanted;
    return this.#meets("search", async () => {
      if (!this.found) throw missing();
      return this.found;
    });
  }

  async moveIn(text: string): Promise<Said> {
    return this.#meets("moveIn", async () => {
      if (this.saved) throw new ApiError(403, "M_FORBIDDEN", "it has one of its own", null, {});
      const log = await Log.read(text);
      if (!log.did.includes(`:${this.host}:`)) throw refusal("the log does not lead to this node");
      this.text = text;
      return this.#said();
    });
  }

  async unpack(luggage: string): Promise<UnpackedSaid> {
    return this.#meets("unpack", async () => {
      this.unpacked.push(luggage);
      return { friends: 1, blocked: 2, credentials: 3, failed: ["nobody"] };
    });
  }

  async vault(): Promise<string | null> {
    return this.#meets("vault", async () => this.kept);
  }

  async keepVault(text: string | null): Promise<void> {
    await this.#meets("keepVault", async () => void (this.kept = text));
  }

  async credentials(): Promise<string[]> {
    return [];
  }

  log(): Promise<Log> {
    return Log.read(this.text ?? "");
  }

  async #said(): Promise<Said> {
    const did = this.text === null ? "did:web:a.example:people:ada" : (await this.log()).did;
    const { text: log, saved, host, service, linked, nodeKey: node_key, sealKey: seal_key } = this;
    return { did, log, saved, host, path: ["people", "ada"], service, linked, node_key, seal_key, copies: ["b.example"] };
  }

  async #meets<T>(ask: string, deed: () => Promise<T>): Promise<T> {
    this.asked.push(ask);
    const trouble = this.trouble?.ask === ask ? this.trouble : null;
    if (trouble) this.trouble = null;
    if (trouble && !trouble.done) throw new ApiError(0, "M_WAYSIDE_UNREACHABLE", "gone", null, {});
    const answer = await deed();
    if (trouble) throw new ApiError(0, "M_WAYSIDE_UNREACHABLE", "gone", null, {});
    return answer;
  }
}

/** What a browser keeps, whatever page of it is open. */
export class Browser {
  readonly keys = new Map<string, KeptKey>();
  readonly secrets = new Map<string, KeptSecrets>();
  readonly seen = new Map<string, Seen>();
  #last: Promise<unknown> = Promise.resolve();

  /** Another page of this browser. */
  page(node: PersonNode, after = 0, userId = ADA): OwnIdentity {
    const doors: Doors = {
      node,
      devices: this.#devices(),
      store: this.#store(),
      nowMs: () => START + after * MINUTE,
      alone: (_, deed) => {
        const done = this.#last.then(deed);
        this.#last = done.catch(() => {});
        return done;
      },
    };
    return new OwnIdentity(userId, doors);
  }

  #devices(): KeyStore {
    const { keys } = this;
    return {
      get: async (id) => keys.get(id),
      add: async (key) => !keys.has(key.id) && Boolean(keys.set(key.id, key)),
      delete: async (id) => void keys.delete(id),
    };
  }

  #store(): PersonStore {
    const { secrets, seen } = this;
    return {
      secrets: async (id) => secrets.get(id),
      keep: async (kept) => void secrets.set(kept.userId, kept),
      forget: async (id) => void secrets.delete(id),
      seen: async (id) => seen.get(id),
      see: async (one) => void seen.set(one.userId, one),
      unsee: async (id) => void seen.delete(id),
    };
  }
}
