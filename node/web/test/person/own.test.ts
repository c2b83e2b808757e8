// The identity of whoever is signed in: made once, believed only where it is proven, and lost by no page that closes.
import { beforeEach, describe, expect, it, vi } from "vitest";
import { personOf } from "../../src/identity/document";
import { type Changed, recoveryFor, rotate } from "../../src/identity/person";
import type { Key } from "../../src/identity/vault";
import type { OwnIdentity } from "../../src/person/own";
import { unsealed } from "../../src/person/store";
import { filled, MINUTE, multikey, START, why } from "../identity/ada";
import { ADA, Browser, FakeNode } from "./fake";

const PHRASE: Key = { kind: "passphrase", passphrase: "lanterns beside the lake" };

async function begun(): Promise<{ node: FakeNode; browser: Browser; own: OwnIdentity }> {
  const [node, browser] = [await FakeNode.begin(), new Browser()];
  const own = browser.page(node);
  expect((await own.ensure()).state).toBe("mine");
  return { node, browser, own };
}

const devicesOf = async (node: FakeNode): Promise<readonly string[]> => personOf((await node.log()).last.state).devices;
const kept = async (browser: Browser) => unsealed(browser.secrets.get(ADA)!);

// What is done later is said to whoever looks at the console, and to nobody here.
beforeEach(() => void vi.spyOn(console, "warn").mockImplementation(() => {}));

describe("an identity", () => {
  it("is made where there is none, and found again", async () => {
    const { node, browser, own } = await begun();
    const first = await own.ensure();
    expect(first).toMatchObject({ state: "mine", portable: false, canChange: true, hasWords: true });
    expect(first.devices.map(({ isThis }) => isThis)).toEqual([true]);
    expect(await browser.page(node).ensure()).toEqual(first);
    expect((await node.log()).versions).toHaveLength(1);
    // Nothing of what is secret lies open, and nobody can take the key away.
    const lying = browser.secrets.get(ADA)!;
    expect(lying.key.extractable).toBe(false);
    expect(Object.keys(lying).sort()).toEqual(["ciphertext", "iv", "key", "userId"]);
  });

  it("is nowhere on a node without DIDs", async () => {
    const node = await FakeNode.begin();
    for (const host of [null, "127.0.0.1"]) {
      node.host = host;
      expect(await new Browser().page(node).ensure()).toMatchObject({ state: "none", why: "node" });
    }
    expect(node.asked).not.toContain("write");
  });

  it("is nowhere in a browser that keeps nothing", async () => {
    const [node, browser] = [await FakeNode.begin(), new Browser()];
    vi.spyOn(browser.secrets, "set").mockImplementation(() => {
      throw new DOMException("no", "DataCloneError");
    });
    expect(await browser.page(node).ensure()).toMatchObject({ state: "none", why: "browser" });
    expect(node.text).toBeNull();
  });

  it("is one, whichever page or browser is first", async () => {
    const node = await FakeNode.begin();
    const [one, other] = [new Browser(), new Browser()];
    const all = await Promise.all([one.page(node).ensure(), one.page(node).ensure(), other.page(node).ensure()]);
    const states = all.map(({ state }) => state).sort();
    expect(["elsewhere,elsewhere,mine", "elsewhere,mine,mine"]).toContain(states.join());
    expect((await node.log()).versions).toHaveLength(1);
    const [won, lost] = all[0].state === "mine" ? [one, other] : [other, one];
    expect([won.keys.size, won.secrets.size, lost.keys.size, lost.secrets.size]).toEqual([1, 1, 0, 0]);
  });

  it("is kept before it is published, and taken up by the next page", async () => {
    for (const done of [false, true]) {
      const [node, browser] = [await FakeNode.begin(), new Browser()];
      node.trouble = { ask: "write", done };
      if (done) expect((await browser.page(node).ensure()).state).toBe("mine");
      else await expect(browser.page(node).ensure()).rejects.toThrow("gone");
      expect(browser.secrets.size).toBe(1);
      expect(await browser.page(node).ensure()).toMatchObject({ state: "mine", canChange: true, hasWords: true });
      expect(browser.keys.size).toBe(1);
    }
  });

  it("is not believed where it is shorter, forked, gone or another than was seen", async () => {
    const { node, browser, own } = await begun();
    const before = node.text!;
    await own.renew();
    const other = await begun();
    const { keys } = (await kept(other.browser))!;
    const fork: Changed = await rotate(await other.node.log(), keys!, START + MINUTE);
    expect(await browser.page(node).ensure()).toMatchObject({ state: "mine" });
    for (const text of [before, null, other.node.text, fork.log.text]) {
      node.text = text;
      expect(await browser.page(node).ensure()).toMatchObject({ state: "broken", why: "rewound" });
    }
    node.text = before.replace("a.example", "b.example");
    expect(await browser.page(node).ensure()).toMatchObject({ state: "broken", why: "bad_log" });
    // Somebody who knows why the node has forgotten goes on with what it has.
    node.text = before;
    await browser.page(node).startOver();
    const again = browser.page(node, 2);
    expect(await again.ensure()).toMatchObject({ state: "mine", canChange: true });
    await again.renew();
    expect((await node.log()).versions).toHaveLength(2);
  });

  it("has the node's key of now", async () => {
    const { node, browser } = await begun();
    node.nodeKey = await multikey(101);
    expect((await browser.page(node, 1).ensure()).state).toBe("mine");
    expect(personOf((await node.log()).last.state).nodeKey).toBe(node.nodeKey);
    const stranger = new Browser();
    node.nodeKey = await multikey(102);
    expect((await stranger.page(node, 2).ensure()).state).toBe("elsewhere");
    node.nodeKey = "z6Mk";
    expect((await browser.page(node, 2).ensure()).state).toBe("mine");
    expect((await node.log()).versions).toHaveLength(2);
  });
});

describe("words", () => {
  it("are forgotten once they are saved, and not before", async () => {
    const { node, browser, own } = await begun();
    const save = await own.toSave();
    expect((await kept(browser))!.entropy).toEqual(save.recovery.entropy);
    node.trouble = { ask: "saved", done: false };
    await expect(save.saved()).rejects.toThrow("gone");
    expect((await kept(browser))!.entropy).not.toBeNull();
    // The next page does what was left undone.
    expect(await browser.page(node).ensure()).toMatchObject({ portable: true, hasWords: false });
    expect(node.saved).toBe(true);
    expect((await kept(browser))!.entropy).toBeNull();
  });

  it("are not forgotten because a node says that they are saved", async () => {
    const { node, browser } = await begun();
    node.saved = true;
    expect(await browser.page(node).ensure()).toMatchObject({ portable: false, hasWords: true });
  });

  it("can be others, which count once they are saved", async () => {
    const { node, own, browser } = await begun();
    const first = await own.toSave();
    await first.saved();
    const second = await own.newWords();
    expect(second.log.lines).toHaveLength(2);
    expect(await recoveryFor(await node.log(), first.recovery.entropy)).toBeDefined();
    await browser.page(node).renew();
    await second.saved();
    expect(await why(async () => recoveryFor(await node.log(), first.recovery.entropy))).toBe("wrong_words");
    expect(await recoveryFor(await node.log(), second.recovery.entropy)).toEqual(second.recovery);
  });

  it("bring somebody back who has nothing else", async () => {
    const { node, browser, own } = await begun();
    const { recovery, saved } = await own.toSave();
    await saved();
    await own.addLock(PHRASE);
    const next = new Browser();
    const back = next.page(node, 1);
    expect(await back.ensure()).toMatchObject({ state: "elsewhere", canChange: false });
    expect(await why(() => back.recover(filled(1, 16), []))).toBe("wrong_words");
    await back.recover(recovery.entropy, []);
    expect(await back.ensure()).toMatchObject({ state: "mine", portable: true, canChange: true });
    expect(await devicesOf(node)).toHaveLength(1);
    // What the vault held opens nothing any more, and who was a device is none.
    expect(node.kept).toBeNull();
    expect(await browser.page(node, 1).ensure()).toMatchObject({ state: "elsewhere", canChange: false });
    expect([browser.keys.size, browser.secrets.size]).toEqual([0, 0]);
    await next.page(node, 2).renew();
    // The same words work again.
    await browser.page(node, 3).recover(recovery.entropy, await devicesOf(node));
    expect(await devicesOf(node)).toHaveLength(2);
    expect(await next.page(node, 3).ensure()).toMatchObject({ state: "mine", canChange: false });
  });

  it("bring somebody back though the page closes on the way", async () => {
    for (const [ask, done] of [["write", false], ["write", true], ["keepVault", false], ["saved", false]] as const) {
      const { node, own } = await begun();
      const { recovery, saved } = await own.toSave();
      await saved();
      await own.addLock(PHRASE);
      const next = new Browser();
      node.trouble = { ask, done };
      await next.page(node, 1).recover(recovery.entropy, []).catch(() => {});
      const state = await next.page(node, 1).ensure();
      if (ask === "write" && !done) {
        expect([state.state, node.kept === null]).toEqual(["elsewhere", false]);
        await next.page(node, 1).recover(recovery.entropy, []);
      }
      expect(await next.page(node, 1).ensure(), `${ask} ${done}`).toMatchObject({ state: "mine", canChange: true });
      expect(node.kept).toBeNull();
      await next.page(node, 2).renew();
    }
  });
});

describe("another browser", () => {
  it("becomes a device by what opens the vault, and is removed again", async () => {
    const { node, browser, own } = await begun();
    await own.addLock(PHRASE);
    await own.renew();
    const next = new Browser();
    const second = next.page(node, 1);
    expect((await second.ensure()).state).toBe("elsewhere");
    expect((await second.locks()).map(({ kind }) => kind)).toEqual(["passphrase"]);
    const wrong: Key = { kind: "passphrase", passphrase: "something else altogether" };
    expect(await why(() => second.join(wrong))).toBe("wrong_passphrase");
    await second.join(PHRASE);
    expect(await second.ensure()).toMatchObject({ state: "mine", canChange: true, hasWords: false });
    expect(await devicesOf(node)).toHaveLength(2);
    await second.addLock({ kind: "passphrase", passphrase: "another of twelve signs" });
    await browser.page(node, 1).renew();
    expect(await second.locks()).toHaveLength(2);
    const mine = (await second.ensure()).devices.find(({ isThis }) => isThis)!;
    await browser.page(node, 2).removeDevice(mine.key);
    expect((await next.page(node, 2).ensure()).state).toBe("elsewhere");
    expect([next.keys.size, next.secrets.size]).toEqual([0, 0]);
    // By a key of its own that nobody has removed it comes back.
    await next.page(node, 3).join(PHRASE);
    expect(await devicesOf(node)).toHaveLength(2);
  });

  it("becomes one though the page closes on the way", async () => {
    for (const done of [false, true]) {
      const { node, own } = await begun();
      await own.addLock(PHRASE);
      const next = new Browser();
      node.trouble = { ask: "write", done };
      await next.page(node, 1).join(PHRASE).catch(() => {});
      expect((await next.page(node, 1).ensure()).state).toBe(done ? "mine" : "elsewhere");
      await next.page(node, 1).join(PHRASE);
      expect(await devicesOf(node)).toHaveLength(2);
    }
  });

  it("may change the log at the same time", async () => {
    const { node, browser, own } = await begun();
    await own.addLock(PHRASE);
    const next = new Browser();
    await next.page(node, 1).join(PHRASE);
    await Promise.all([browser.page(node, 1).renew(), next.page(node, 2).renew()]);
    expect((await node.log()).versions).toHaveLength(4);
  });
});

describe("a vault", () => {
  it("follows the keys, and goes with its last lock", async () => {
    const { node, own } = await begun();
    await own.addLock(PHRASE);
    const before = node.kept;
    await own.renew();
    expect(node.kept).not.toBe(before);
    await own.addLock({ kind: "passphrase", passphrase: "another of twelve signs" });
    const [first] = await own.locks();
    await own.removeLock(first!);
    expect(await own.locks()).toHaveLength(1);
    await own.removeLock((await own.locks())[0]!);
    expect(node.kept).toBeNull();
    expect(await own.locks()).toEqual([]);
  });

  it("that is not kept up to date is as good", async () => {
    const { node, own } = await begun();
    await own.addLock(PHRASE);
    node.trouble = { ask: "keepVault", done: false };
    await own.renew();
    await own.renew();
    const next = new Browser().page(node, 1);
    await next.join(PHRASE);
    expect((await next.ensure()).state).toBe("mine");
  });
});

describe("a vault that was damaged", () => {
  it("says so, and gives way to a new one", async () => {
    const { node, own } = await begun();
    await own.addLock(PHRASE);
    node.kept = node.kept!.replace('"check":"', '"check":"x');
    expect(await why(() => own.locks())).toBe("damaged");
    await own.renew();
    await own.addLock(PHRASE);
    expect(await own.locks()).toHaveLength(1);
    const next = new Browser().page(node, 1);
    await next.join(PHRASE);
    expect((await next.ensure()).state).toBe("mine");
  });
});

describe("signing out", () => {
  it("takes the device out of the document where another remains", async () => {
    const { node, browser, own } = await begun();
    await own.addLock(PHRASE);
    const next = new Browser();
    const second = next.page(node, 1);
    await second.join(PHRASE);
    await second.leave();
    expect(await devicesOf(node)).toHaveLength(1);
    expect([next.keys.size, next.secrets.size]).toEqual([0, 0]);
    expect((await browser.page(node, 2).ensure()).state).toBe("mine");
    const last = browser.page(node, 2);
    await last.leave();
    expect(await devicesOf(node)).toHaveLength(1);
    expect([browser.keys.size, browser.secrets.size]).toEqual([0, 0]);
    // What was seen is remembered.
    expect(browser.seen.size).toBe(1);
  });

  it("loses an identity only where nothing brings it back", async () => {
    const { node, browser, own } = await begun();
    expect(await own.wouldBeLost()).toBe(true);
    // Whatever a node says.
    node.saved = true;
    expect(await own.wouldBeLost()).toBe(true);
    node.saved = false;
    node.trouble = { ask: "look", done: false };
    expect(await own.wouldBeLost()).toBe(true);
    await own.addLock(PHRASE);
    expect(await own.wouldBeLost()).toBe(false);
    await own.removeLock((await own.locks())[0]!);
    await (await own.toSave()).saved();
    expect(await own.wouldBeLost()).toBe(false);
    node.trouble = { ask: "look", done: false };
    expect(await browser.page(node).wouldBeLost()).toBe(false);
    expect(await new Browser().page(node).wouldBeLost()).toBe(false);
  });

  it("is done where the node does not answer", async () => {
    const { node, browser, own } = await begun();
    node.trouble = { ask: "look", done: false };
    await own.leave();
    expect([browser.keys.size, browser.secrets.size]).toEqual([0, 0]);
  });
});
