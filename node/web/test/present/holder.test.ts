// Proving who somebody is, once for as long as it is the same.
import { afterEach, expect, it, vi } from "vitest";
import type { Session } from "../../src/api/session";
import { Log } from "../../src/identity/log";
import { addDevice } from "../../src/identity/person";
import { forgetHolder, holderOf, membership } from "../../src/present/holder";
import { ada, MINUTE, multikey, signer, START } from "../identity/ada";

vi.mock(import("../../src/identity/device"), async (original) => ({ ...(await original()), deviceKeyOf: async () => (await signer(1)) as never }));

const session: Session = { userId: "@ada:a.example", deviceId: "A", token: "secret", name: "Ada", guest: false };
const asked: unknown[] = [];

/** Has the home say this. */
function saying(said: object): void {
  vi.stubGlobal("fetch", async (_: string, { body }: RequestInit) => {
    asked.push(body ? JSON.parse(body as string) : null);
    return Response.json(said);
  });
}

afterEach(() => {
  forgetHolder();
  asked.length = 0;
  vi.unstubAllGlobals();
});

it("reads a log anew where it is another, or somebody else's", async () => {
  const { log, keys } = await ada();
  const read = vi.spyOn(Log, "read");
  saying({ did: log.did, log: log.text });
  const first = await holderOf(session);
  expect(first).toMatchObject({ did: log.did, signer: { multikey: await multikey(1) } });
  expect(await holderOf(session)).toBe(first);
  expect(read).toHaveBeenCalledTimes(1);
  // What was proven of one account is not proven of another.
  expect(await holderOf({ ...session, userId: "@eve:a.example" })).toBe("moved");
  const { log: later } = await addDevice(log, keys, await multikey(2), START + MINUTE);
  saying({ did: log.did, log: later.text });
  expect(await holderOf(session)).toMatchObject({ did: log.did });
  expect(read).toHaveBeenCalledTimes(3);
  forgetHolder();
  await holderOf(session);
  expect(read).toHaveBeenCalledTimes(4);
  read.mockRestore();
});

it("does not take a change for what was proven", async () => {
  const { log } = await ada();
  saying({ did: log.did, log: log.text });
  await holderOf(session);
  saying({ did: log.did, log: log.text.replace("2026-05-01", "2026-05-02") });
  expect(await holderOf(session)).toBe("unproven");
  saying({ did: null, log: null });
  expect(await holderOf(session)).toBe("no_identity");
});

it("asks the home for what is asked for, without the names for people", async () => {
  saying({ credential: { id: 1 } });
  expect(await membership(session)).toEqual({ credential: { id: 1 }, others: [], asked: [] });
  saying({ credential: { id: 1 }, others: [{ id: 2 }], asked: [{ id: 3 }] });
  const badge = { type: "Badge", issuer: "did:web:b.example", badge: "x", name: "X" } as const;
  const vouched = await membership(session, [{ ...badge, issuer_name: "b.example" }]);
  expect(vouched).toEqual({ credential: { id: 1 }, others: [{ id: 2 }], asked: [{ id: 3 }] });
  expect(asked).toEqual([{ asks: [] }, { asks: [badge] }]);
});
