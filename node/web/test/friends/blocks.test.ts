// Blocks on the way: their frame, whom another node is told of them, and the words that are not shown.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Session } from "../../src/api/session";
import { type BlockBytes, blockBytes } from "../../src/friends/blocks";
import { type ClientFrame, encode } from "../../src/net/codec";
import { hostAt } from "../../src/travel/abroad";
import { Blocking, LEAST_MS } from "../../src/visit/blocking";
import { ChatLog } from "../../src/visit/chatlog";

vi.mock(import("../../src/present/holder"), async (original) => ({
  ...(await original()),
  holderOf: async () => ({ did: "did:a", signer: {} as never }),
  membership: async () => ({ credential: { credentialSubject: { id: "did:a" } }, others: [], asked: [] }),
  present: async () => ({ proof: "x" }) as never,
}));

const session: Session = { userId: "@ada:a.test", deviceId: "A", token: "secret", name: "Ada", guest: false };
const SALT = "AAECAwQFBgcICQoLDA0ODw";
const HASH = "_____________________w";

afterEach(() => vi.unstubAllGlobals());

describe("the frame of blocks", () => {
  it("is the salt, the number of hashes, and these", () => {
    const bytes = blockBytes({ salt: SALT, hashes: [HASH, SALT] });
    const frame = encode({ kind: "blocks", ...bytes! });
    const counted = [...Array(16).keys()];
    expect([...frame]).toEqual([0x08, ...counted, 2, 0, ...Array(16).fill(255), ...counted]);
    expect([...encode({ kind: "blocks", ...blockBytes({ salt: SALT, hashes: [] })! })]).toEqual([0x08, ...counted, 0, 0]);
  });

  it("holds many", () => {
    const hashes = Array.from({ length: 300 }, () => HASH);
    const frame = encode({ kind: "blocks", ...blockBytes({ salt: SALT, hashes })! });
    expect(frame).toHaveLength(1 + 16 + 2 + 300 * 16);
    expect([...frame.slice(17, 19)]).toEqual([44, 1]);
    expect(frame.slice(19).every((byte) => byte === 255)).toBe(true);
  });

  it("takes either alphabet, and nothing that is none", () => {
    expect(blockBytes({ salt: "/////////////////////w", hashes: [] })?.salt).toEqual(new Uint8Array(16).fill(255));
    expect(blockBytes({ salt: "%", hashes: [] })).toBeNull();
    expect(blockBytes({ salt: SALT, hashes: ["%", HASH] })?.hashes).toHaveLength(1);
  });

  it("finds a buffer that grew under a long text", () => {
    const frame = encode({ kind: "hello", ticket: "t".repeat(500) });
    expect(new TextDecoder().decode(frame.slice(4))).toBe("t".repeat(500));
  });
});

describe("blocks during a visit", () => {
  const bytes = (first: number): BlockBytes => ({ salt: new Uint8Array([first]), hashes: [] });
  const line = { isOpen: true, sent: [] as number[], send: (frame: ClientFrame) => void (frame.kind === "blocks" && line.sent.push(frame.salt[0]!)) };

  beforeEach(() => {
    vi.useFakeTimers();
    Object.assign(line, { isOpen: true, sent: [] });
  });
  afterEach(() => vi.useRealTimers());

  it("are told at once, and then the newest after a while: who tells too often is put out", () => {
    const blocking = new Blocking(() => line);
    blocking.begins(true);
    for (const one of [1, 2, 3]) blocking.block(bytes(one));
    expect(line.sent).toEqual([1]);
    vi.advanceTimersByTime(LEAST_MS * 5);
    expect(line.sent).toEqual([1, 3]);
  });

  it("are told to nobody who does not want to hear them", () => {
    const blocking = new Blocking(() => line);
    blocking.begins(false);
    blocking.block(bytes(1));
    vi.advanceTimersByTime(LEAST_MS * 5);
    expect(line.sent).toEqual([]);
  });

  it("wait for a visit that begins again, unless that was asked for with them", () => {
    const blocking = new Blocking(() => line);
    blocking.begins(true);
    line.isOpen = false;
    blocking.block(bytes(1));
    line.isOpen = true;
    blocking.tell();
    blocking.tell();
    expect(line.sent).toEqual([1]);
    line.isOpen = false;
    blocking.block(bytes(2));
    blocking.asks();
    line.isOpen = true;
    blocking.begins(true);
    blocking.tell();
    expect(line.sent).toEqual([1]);
    line.isOpen = false;
    blocking.block(bytes(3));
    line.isOpen = true;
    blocking.dispose();
    blocking.tell();
    expect(line.sent).toEqual([1]);
  });
});

describe("a visit to another node", () => {
  const asked = async (answer: () => Response): Promise<unknown> => {
    let body: unknown;
    vi.stubGlobal("fetch", async (path: string, options: RequestInit) => {
      if (path === "/_wayside/v1/blocks") {
        expect((options.headers as Record<string, string>).Authorization).toBe("Bearer secret");
        return answer();
      }
      expect(path.startsWith("https://b.test/")).toBe(true);
      if (path.endsWith("/challenge")) return Response.json({ challenge: "c" });
      body = JSON.parse(`${options.body as string}`);
      return Response.json({ ticket: "t", transports: [], world: { preview: null, scene: { url: "/x" } }, blocks: true });
    });
    expect((await hostAt("https://b.test", "b.test").admit("#plaza:b.test", session)).blocks).toBe(true);
    return body;
  };

  it("begins with whom somebody blocks", async () => {
    const blocks = { salt: SALT, hashes: [HASH] };
    expect(await asked(() => Response.json(blocks))).toEqual({ challenge: "c", presentation: { proof: "x" }, blocks });
  });

  it("begins without where their home knows of none", async () => {
    const unknown = (): Response => Response.json({ errcode: "M_UNRECOGNIZED" }, { status: 404 });
    expect(await asked(unknown)).toEqual({ challenge: "c", presentation: { proof: "x" } });
  });

  it("does not begin where it is not known whom", async () => {
    await expect(asked(() => Response.json({}, { status: 503 }))).rejects.toThrow();
  });
});

describe("the chat", () => {
  const said = (eventId: string, sender: string, body: string) => ({ kind: "message", eventId, sender, body, emote: false, timeMs: 1, transaction: null }) as const;

  it("shows nothing of whom somebody blocks, neither of before nor of after, until they do not", () => {
    const log = new ChatLog("@me:a.test");
    const lines = [said("$1", "@eve:b.test", "before"), said("$2", "@ann:b.test", "hello")];
    for (const one of lines) log.take(one);
    log.hide(new Set(["@eve:b.test"]));
    expect(log.lines.map(({ body }) => body)).toEqual(["hello"]);
    expect(log.take(said("$3", "@eve:b.test", "after"))).toBeNull();
    expect(log.take({ kind: "unreadable", eventId: "$4", sender: "@eve:b.test", timeMs: 1, why: "no_device" })).toBeNull();
    log.before(lines);
    expect(log.lines.map(({ body }) => body)).toEqual(["hello"]);
    log.hide(new Set());
    log.before(lines);
    expect(log.lines.map(({ body }) => body)).toEqual(["before", "hello"]);
  });
});
