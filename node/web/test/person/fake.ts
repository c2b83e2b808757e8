// A node and browsers to test with: a log that is judged as a node does, and stores that forget nothing.
import { ApiError } from "../../src/api/http";
import type { KeptKey, KeyStore } from "../../src/identity/device";
import { Log } from "../../src/identity/log";
import type { PersonNode, Said } from "../../src/person/node";
import { type Doors, OwnIdentity } from "../../src/person/own";
import type { KeptSecrets, PersonStore, Seen } from "../../src/person/store";
import { MINUTE, multikey, START } from "../identity/ada";

export const ADA = "@ada:a.example";

const refusal = (why: string): ApiError => new ApiError(400, "M_INVALID_PARAM", why, null, {});

/** A node that has one account. */
export class FakeNode implements PersonNode {
  text: string | null = null;
  saved = false;
  kept: string | null = null;
  host: string | null = "a.example";
  linked: string | null = null;
  nodeKey = "";
  /** What happens to whatever is asked next: it is refused, or done without an answer. */
  trouble: { ask: string; done: boolean } | null = null;
  readonly asked: string[] = [];

  static async begin(): Promise<FakeNode> {
    const node = new FakeNode();
    node.nodeKey = await multikey(100);
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

  async noteSaved(): Promise<void> {
    await this.#meets("saved", async () => void (this.saved = true));
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
    const [path, service] = [["people", "ada"], "https://a.example/"];
    return { did, log: this.text, saved: this.saved, host: this.host, path, service, linked: this.linked, node_key: this.nodeKey };
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
  page(node: PersonNode, after = 0): OwnIdentity {
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
    return new OwnIdentity(ADA, doors);
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
