// Moving in: somebody whose home is gone lives elsewhere, by their words, and no page that closes loses anything of it.
import { beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "../../src/api/http";
import { personOf } from "../../src/identity/document";
import { Log } from "../../src/identity/log";
import { type Luggage, openLuggage, sealKeyOf } from "../../src/identity/luggage";
import { deactivate, move, recoveryFor, rotate } from "../../src/identity/person";
import type { Answer, Came } from "../../src/person";
import type { OwnIdentity } from "../../src/person/own";
import { unsealed } from "../../src/person/store";
import { ada, ENTROPY, filled, home, MINUTE, START, why } from "../identity/ada";
import { sealed } from "../identity/sealing";
import { Browser, FakeNode } from "./fake";

const THERE = "@ada:c.example";
/** After everything that happened at the home of before. */
const LATER = 60;

/** An account at a new home, with an identity that was made there, and the log that was at the home of before. */
async function begun(): Promise<{ node: FakeNode; browser: Browser; own: OwnIdentity; log: Log; page: () => OwnIdentity }> {
  const [node, browser] = [await FakeNode.begin("c.example"), new Browser()];
  const page = (): OwnIdentity => browser.page(node, LATER, THERE);
  const own = page();
  expect(await own.ensure()).toMatchObject({ state: "mine", portable: false });
  const { log } = await ada();
  return { node, browser, own, log, page };
}

const packed = (scid: string): string =>
  JSON.stringify({ version: 1, scid, account: "@ada:a.example", packed_ms: START, friends: [{ account: "@bob:b.example" }], blocked: [] });

const sealedFor = (log: Log, entropy = ENTROPY): Promise<string> => sealed(packed(log.scid), log.scid, { entropy });

async function luggageOf(log: Log): Promise<Luggage> {
  const { luggage } = await openLuggage([await sealedFor(log)], ENTROPY, log.scid);
  return luggage!;
}

const kept = async (browser: Browser) => unsealed(browser.secrets.get(THERE)!);

beforeEach(() => void vi.spyOn(console, "warn").mockImplementation(() => {}));

describe("moving in", () => {
  it("brings the identity of elsewhere, and what was made here gives way", async () => {
    const { node, browser, own, log, page } = await begun();
    const made = (await node.log()).scid;
    await own.addLock({ kind: "passphrase", passphrase: "lanterns beside the lake" });
    const came: Came = await own.moveIn({ entropy: ENTROPY, log, luggage: await luggageOf(log) });
    expect(came).toMatchObject({ account: THERE, copies: ["b.example"], isLate: false, unpacked: { friends: 1, blocked: 2, credentials: 3, failed: ["nobody"] } });
    expect(came.recovery).toEqual({ entropy: ENTROPY, number: 2 });
    const now = await node.log();
    expect([now.scid, now.versions.length, now.has(log.last.versionId)]).toEqual([log.scid, 2, true]);
    expect(personOf(now.last.state)).toMatchObject({ mxid: THERE, formerly: [log.did], service: "https://c.example/" });
    expect(await recoveryFor(now, ENTROPY)).toEqual(came.recovery);
    // The words were just used, so they are saved, and the node seals by them.
    expect([node.saved, node.sealKey]).toEqual([true, await sealKeyOf(ENTROPY)]);
    expect(node.unpacked.map((one) => JSON.parse(one) as unknown)).toEqual([JSON.parse(packed(log.scid))]);
    expect(await page().ensure()).toMatchObject({ state: "mine", portable: true, canChange: true, hasWords: false });
    // Nothing is left of what was made here, and the vault of before opens nothing.
    expect([...browser.keys.keys()]).toEqual([log.scid]);
    expect(made).not.toBe(log.scid);
    expect(await kept(browser)).toMatchObject({ did: now.did, entropy: null, moving: null, due: null, confirmed: true });
    expect(node.kept).toBeNull();
    await page().renew();
    expect((await node.log()).versions).toHaveLength(3);
  });

  it("goes without luggage, and without an identity that was made here", async () => {
    const [node, browser] = [await FakeNode.begin("c.example"), new Browser()];
    node.linked = "did:web:a.example:people:ada";
    const own = browser.page(node, LATER, THERE);
    expect(await own.ensure()).toMatchObject({ state: "none", why: "linked" });
    const { log } = await ada();
    const came = await own.moveIn({ entropy: ENTROPY, log, luggage: null });
    expect(came).toMatchObject({ unpacked: null, isLate: false });
    expect(node.asked).not.toContain("unpack");
    expect(await own.ensure()).toMatchObject({ state: "mine", canChange: true, portable: true });
  });

  it("loses nothing though the page closes on the way", async () => {
    for (const [ask, done] of [["moveIn", false], ["moveIn", true], ["saved", false], ["unpack", false], ["unpack", true], ["keepVault", false]] as const) {
      const { node, browser, own, log, page } = await begun();
      const luggage = await luggageOf(log);
      const made = await node.log();
      node.trouble = { ask, done };
      const came = await own.moveIn({ entropy: ENTROPY, log, luggage }).catch(() => null);
      if (ask === "moveIn" && !done) {
        // It never came there: who the account is stays as it was, and the words bring it about once more.
        expect(came).toBeNull();
        expect(await page().ensure()).toMatchObject({ state: "mine", hasWords: true, did: made.did });
        const { moving } = (await kept(browser))!;
        await page().moveIn({ entropy: ENTROPY, log, luggage });
        expect((await node.log()).line, "the same version is written again").toBe(moving!.line);
      }
      expect(await page().ensure(), `${ask} ${done}`).toMatchObject({ state: "mine", canChange: true, portable: true, hasWords: false });
      expect([node.saved, node.sealKey, node.unpacked.length > 0, node.kept]).toEqual([true, await sealKeyOf(ENTROPY), true, null]);
      expect(await kept(browser)).toMatchObject({ due: null, moving: null, vaultDue: false });
      expect([...browser.keys.keys()]).toEqual([log.scid]);
      await page().renew();
    }
  });

  it("is found in force by the next page, though no answer ever came", async () => {
    const { node, browser, own, log, page } = await begun();
    const luggage = await luggageOf(log);
    const looks = vi.spyOn(node, "look");
    node.trouble = { ask: "moveIn", done: true };
    // The first look is before it, the second would tell what came of it.
    looks.mockImplementationOnce(FakeNode.prototype.look.bind(node)).mockRejectedValueOnce(new ApiError(0, "M_WAYSIDE_UNREACHABLE", "gone", null, {}));
    await expect(own.moveIn({ entropy: ENTROPY, log, luggage })).rejects.toThrow("gone");
    expect((await kept(browser))!.moving).not.toBeNull();
    expect((await kept(browser))!.entropy, "what was made here is kept until then").not.toBeNull();
    looks.mockRestore();
    // Whoever presses the button once more has arrived, too.
    const came = await own.moveIn({ entropy: ENTROPY, log, luggage });
    expect(came).toMatchObject({ unpacked: { friends: 1 }, isLate: false });
    expect(await page().ensure()).toMatchObject({ state: "mine", canChange: true });
    expect((await node.log()).versions).toHaveLength(2);
  });

  it("that a node refuses leaves all as it was", async () => {
    const { node, browser, own, log, page } = await begun();
    const made = await node.log();
    node.saved = true;
    await expect(own.moveIn({ entropy: ENTROPY, log, luggage: null })).rejects.toMatchObject({ code: "M_FORBIDDEN" });
    node.saved = false;
    expect(await kept(browser)).toMatchObject({ did: made.did, moving: null });
    expect([...browser.keys.keys()]).toEqual([made.scid]);
    expect(await page().ensure()).toMatchObject({ state: "mine", hasWords: true });
    // Luggage that it refuses is given up, and the person is here.
    vi.spyOn(node, "unpack").mockRejectedValue(new ApiError(400, "M_INVALID_PARAM", "no luggage", null, {}));
    expect(await own.moveIn({ entropy: ENTROPY, log, luggage: await luggageOf(log) })).toMatchObject({ unpacked: null, isLate: false });
  });

  it("by words that are wrong, or of somebody who lives here, is refused", async () => {
    const { node, own, log, page } = await begun();
    expect(await why(() => own.moveIn({ entropy: filled(1, 16), log, luggage: null }))).toBe("wrong_words");
    const mine = await own.toSave();
    expect(await why(() => own.moveIn({ entropy: mine.recovery.entropy, log: mine.log, luggage: null }))).toBe("not refused");
    const other = await move(log, (await ada()).keys, { ...(await home("c.example", "other")), service: node.service }, START + MINUTE);
    expect(await why(() => page().moveIn({ entropy: ENTROPY, log: other.log, luggage: null }))).toBe("here");
    expect(node.asked).not.toContain("moveIn");
  });

  it("in another browser meanwhile makes this one no device", async () => {
    const { node, browser, own, log, page } = await begun();
    const other = new Browser();
    node.trouble = { ask: "moveIn", done: false };
    await expect(own.moveIn({ entropy: ENTROPY, log, luggage: null })).rejects.toThrow("gone");
    expect((await other.page(node, LATER, THERE).ensure()).state).toBe("elsewhere");
    await other.page(node, LATER, THERE).moveIn({ entropy: ENTROPY, log, luggage: null });
    expect(await page().ensure()).toMatchObject({ state: "elsewhere", canChange: false });
    expect([browser.keys.size, browser.secrets.size]).toEqual([0, 0]);
  });

  it("leaves nothing in a browser that is signed out of", async () => {
    const { node, browser, own, log } = await begun();
    node.trouble = { ask: "moveIn", done: false };
    await own.moveIn({ entropy: ENTROPY, log, luggage: null }).catch(() => {});
    expect(browser.keys.size).toBe(2);
    await own.leave();
    expect([browser.keys.size, browser.secrets.size]).toEqual([0, 0]);
  });
});

describe("looking for somebody", () => {
  const asking = { entropy: ENTROPY, known: null, name: "@ada:a.example", at: ["@bob:b.example"] };
  const nobody = (): void => {};

  it("finds the log, opens the luggage, and tells who said what", async () => {
    const { node, own, log } = await begun();
    const asked = [{ server: "b.example", found: true }, { server: "a.example", found: false, why: "gone\u202e" }, { server: "no server" }, 7];
    node.found = { log: log.text, sealed: [7, await sealedFor(log, filled(6, 16)), await sealedFor(log)], asked };
    const heard: Answer[] = [];
    const found = await own.seek(asking, (answers) => void heard.push(...answers));
    expect(heard).toEqual([{ server: "b.example", found: true, why: "" }, { server: "a.example", found: false, why: "gone" }]);
    expect(node.wanted).toEqual({ account: "@ada:a.example", seal_key: expect.stringMatching(/^[\w-]{43}$/), at: ["@bob:b.example"] });
    expect([found.log.text, found.isFromFile, found.opened.luggage?.friends]).toEqual([log.text, false, [{ account: "@bob:b.example", name: null }]]);
    await own.seek({ ...asking, name: log.did }, nobody);
    expect(node.wanted).toMatchObject({ did: log.did, at: ["@bob:b.example"] });
  });

  it("believes the longer of two logs, and no fork", async () => {
    const { node, own, log } = await begun();
    const longer = (await rotate(log, (await ada()).keys, START + MINUTE)).log;
    const fork = (await rotate(log, (await ada()).keys, START + 2 * MINUTE)).log;
    node.found = { log: longer.text, sealed: [], asked: [] };
    expect((await own.seek({ ...asking, known: log, name: log.did }, nobody)).log.text).toBe(longer.text);
    node.found = { log: log.text, sealed: [], asked: [] };
    expect((await own.seek({ ...asking, known: longer, name: log.did }, nobody)).log.text).toBe(longer.text);
    node.found = { log: fork.text, sealed: [], asked: [] };
    expect(await why(() => own.seek({ ...asking, known: longer, name: log.did }, nobody))).toBe("forked");
    // Where nobody has it, the file does.
    node.found = null;
    expect(await own.seek({ ...asking, known: log, name: log.did }, nobody)).toMatchObject({ isFromFile: true, opened: { why: "none" } });
    expect(await why(() => own.seek(asking, nobody))).toBe("not_found");
  });

  it("refuses what is not theirs", async () => {
    const { node, own, log } = await begun();
    const reasons = async (text: unknown, changed: object = {}): Promise<string> => {
      node.found = { log: text, sealed: "none", asked: "nobody" };
      return why(() => own.seek({ ...asking, ...changed }, nobody));
    };
    const other = (await ada(filled(3))).log;
    const ended = (await deactivate(log, (await ada()).keys, START + MINUTE)).log;
    expect(await reasons(log.text, { entropy: filled(1, 16) })).toBe("wrong_words");
    expect(await reasons(log.text, { name: "@eve:a.example" })).toBe("wrong_person");
    expect(await reasons(other.text, { name: log.did })).toBe("wrong_person");
    expect(await reasons(other.text, { known: log, name: log.did })).toBe("wrong_person");
    expect(await reasons(log.text.replace("ada", "eve"))).toBe("bad_log");
    expect(await reasons(ended.text)).toBe("ended");
    expect(await reasons(7)).toBe("not_found");
    node.trouble = { ask: "search", done: false };
    await expect(own.seek(asking, nobody)).rejects.toThrow("gone");
  });
});

describe("who has moved away", () => {
  it("is told where they live now", async () => {
    const [node, browser] = [await FakeNode.begin("a.example"), new Browser()];
    const { log, keys } = await ada();
    node.text = (await move(log, keys, { ...(await home("c.example")), service: "https://c.example/" }, START + MINUTE)).log.text;
    const lives = { account: "@ada:c.example", address: "https://c.example/" };
    expect(await browser.page(node).ensure()).toMatchObject({ state: "ended", why: "moved", lives });
  });
});

describe("the key of the seal", () => {
  it("is told with words that are saved, with others anew, and with those that are typed", async () => {
    const [node, browser] = [await FakeNode.begin(), new Browser()];
    const own = browser.page(node);
    await own.ensure();
    const first = await own.toSave();
    expect(first.copies).toEqual(["b.example"]);
    expect(node.sealKey).toBeNull();
    await first.saved();
    expect(node.sealKey).toBe(await sealKeyOf(first.recovery.entropy));
    const second = await own.newWords();
    await second.saved();
    expect(node.sealKey).toBe(await sealKeyOf(second.recovery.entropy));
    // An identity that was saved before there were seals is mended by whoever types their words.
    node.sealKey = null;
    await own.mustOpen(second.recovery.entropy);
    expect(node.sealKey).toBe(await sealKeyOf(second.recovery.entropy));
    node.sealKey = null;
    await new Browser().page(node, 1).recover(second.recovery.entropy, []);
    expect(node.sealKey).toBe(await sealKeyOf(second.recovery.entropy));
  });

  it("is told where words are here that the node knows as saved", async () => {
    const [node, browser] = [await FakeNode.begin(), new Browser()];
    await browser.page(node).ensure();
    await browser.page(node).ensure();
    expect([node.saved, node.sealKey]).toEqual([false, null]);
    node.saved = true;
    await browser.page(node).ensure();
    const { recovery } = await browser.page(node).toSave();
    expect(node.sealKey).toBe(await sealKeyOf(recovery.entropy));
  });
});
