// The vault: opened by what it was locked with, and by nothing else, whoever keeps it.
import { beforeAll, describe, expect, it } from "vitest";
import { base64url, type Bytes, utf8 } from "../../src/identity/bytes";
import { canonical, type JsonObject } from "../../src/identity/canonical";
import { hash } from "../../src/identity/multikey";
import { move } from "../../src/identity/person";
import { askPasskey } from "../../src/identity/prf";
import { ClosedVault, freshPasskeyLock, type Key, passkeyLocks, Vault } from "../../src/identity/vault";
import { ada, filled, home, MINUTE, SECRET, START, why } from "./ada";

const PASSPHRASE = "correct horse battery";
const KEYS = { secret: SECRET, number: 3 };
const byPhrase: Key = { kind: "passphrase", passphrase: PASSPHRASE };
const lock = freshPasskeyLock(filled(1, 20));
const byPasskey: Key = { ...lock, output: filled(2) };

let did: string;
let text: string;

async function opened(from: string, key: Key, whose = did): Promise<Vault> {
  return (await ClosedVault.read(from, whose)).open(key);
}

type Edit = (vault: JsonObject & { locks: JsonObject[]; content: JsonObject }) => void;

/** A vault in which somebody changed something and wrote the check anew. */
async function changed(edit: Edit): Promise<string> {
  const { check, ...vault } = JSON.parse(text) as JsonObject;
  edit(vault as Parameters<Edit>[0]);
  return canonical({ ...vault, check: await hash(utf8(canonical(vault))) });
}

beforeAll(async () => {
  did = (await ada()).log.did;
  text = await (await (await Vault.make(did, KEYS, byPhrase)).with(byPasskey)).write();
});

describe("a vault", () => {
  it("opens by each of its locks", async () => {
    const closed = await ClosedVault.read(text, did);
    expect(closed.locks.map(({ kind }) => kind)).toEqual(["passphrase", "passkey"]);
    expect(passkeyLocks(closed.locks)).toEqual([lock]);
    for (const key of [byPhrase, byPasskey]) expect((await closed.open(key)).keys).toEqual(KEYS);
    // Whoever types the same letters on another keyboard may send other bytes.
    const wide = PASSPHRASE.replace("c", "\uff43");
    expect((await closed.open({ kind: "passphrase", passphrase: wide })).keys).toEqual(KEYS);
    expect(text).not.toContain(base64url(SECRET));
  });

  it("opens by nothing else", async () => {
    for (const passphrase of ["correct horse batterz", "", "a".repeat(2_000)]) {
      expect(await why(() => opened(text, { kind: "passphrase", passphrase }))).toBe("wrong_passphrase");
    }
    expect(await why(() => opened(text, { ...byPasskey, output: filled(3) }))).toBe("wrong_passkey");
    expect(await why(() => opened(text, { ...byPasskey, credential: "AAAA" }))).toBe("wrong_passkey");
    expect(await why(() => opened(text, { ...byPasskey, output: filled(3, 31) }))).toBe("malformed");
    const locked = await Vault.make(did, KEYS, byPasskey);
    expect(await why(async () => opened(await locked.write(), byPhrase))).toBe("wrong_passphrase");
  });

  it("of somebody else is refused, and opens nothing if it is made to look otherwise", async () => {
    const other = (await ada(filled(3))).log;
    expect(await why(() => ClosedVault.read(text, other.did))).toBe("wrong_person");
    const swapped = await changed((vault) => {
      vault.scid = other.scid;
    });
    expect(await why(() => opened(swapped, byPhrase, other.did))).toBe("wrong_passphrase");
    expect(await why(() => opened(swapped, byPasskey, other.did))).toBe("wrong_passkey");
    const made = await Vault.make(other.did, { ...KEYS, number: 9 }, byPhrase);
    const theirs = JSON.parse(await made.write()) as JsonObject;
    const mixed = await changed((vault) => {
      vault.content = theirs.content as JsonObject;
    });
    expect(await why(() => opened(mixed, byPhrase))).toBe("damaged");
  });

  it("has locks that belong to the passkeys that they name", async () => {
    const { credential } = freshPasskeyLock(filled(9, 20));
    const renamed = await changed(({ locks }) => void (locks[1]!.credential = credential));
    expect(await why(() => opened(renamed, { ...byPasskey, credential }))).toBe("wrong_passkey");
  });

  it("stays the person's when they move", async () => {
    const { log, keys } = await ada();
    const moved = await move(log, keys, await home("b.example"), START + MINUTE);
    expect((await opened(text, byPasskey, moved.log.did)).keys).toEqual(KEYS);
  });

  it("that was damaged says so", async () => {
    const cut = [text.slice(0, -1), text.slice(1), "", "[]", "{}", text.replace("passkey", "passkez"), `${text}{}`];
    for (const broken of cut) expect(await why(() => ClosedVault.read(broken, did)), broken).toBe("damaged");
    expect(await why(() => ClosedVault.read("a".repeat(70_000), did))).toBe("damaged");
    const flipped = (of: JsonObject): void => {
      of.ciphertext = (of.ciphertext as string).replace(/^./, (first) => (first === "A" ? "B" : "A"));
    };
    expect(await why(async () => opened(await changed(({ content }) => flipped(content)), byPhrase))).toBe("damaged");
    const byLock = await changed(({ locks }) => locks.forEach(flipped));
    expect(await why(() => opened(byLock, byPhrase))).toBe("wrong_passphrase");
    expect(await why(() => opened(byLock, byPasskey))).toBe("wrong_passkey");
  });

  it("whose locks were made weaker, slower or other is refused", async () => {
    const refused: [Edit, string][] = [
      [({ locks }) => void (locks[0]!.iterations = 99_999), "damaged"],
      [({ locks }) => void (locks[0]!.iterations = 5_000_001), "damaged"],
      [({ locks }) => void (locks[0]!.iterations = 1e5 + 0.5), "damaged"],
      [({ locks }) => void (locks[0]!.iterations = "600000"), "damaged"],
      [({ locks }) => void (locks[0]!.salt = "AAAA"), "damaged"],
      [({ locks }) => void (locks[1]!.credential = ""), "damaged"],
      [({ locks }) => void (locks[1]!.kind = "face"), "newer"],
      [(vault) => void (vault.locks = []), "damaged"],
      [(vault) => void (vault.locks = Array<JsonObject>(17).fill(vault.locks[1]!)), "damaged"],
      [(vault) => void (vault.locks = Array<JsonObject>(5).fill(vault.locks[0]!)), "damaged"],
      [(vault) => void (vault.version = 2), "newer"],
      [(vault) => void (vault.version = "1"), "damaged"],
      [(vault) => void (vault.type = "wayside-recovery"), "damaged"],
      [(vault) => void (vault.scid = "Qm"), "damaged"],
      [({ content }) => void (content.iv = "AAAA"), "damaged"],
      [({ content }) => void (content.ciphertext = "A".repeat(2_000)), "damaged"],
    ];
    for (const [edit, expected] of refused) {
      expect(await why(async () => ClosedVault.read(await changed(edit), did)), edit.toString()).toBe(expected);
    }
    const quicker = await changed(({ locks }) => void (locks[0]!.iterations = 100_000));
    expect(await why(() => opened(quicker, byPhrase))).toBe("wrong_passphrase");
  });

  it("is written anew each time, with other keys and other locks", async () => {
    const vault = await opened(text, byPasskey);
    const next = vault.holding({ secret: filled(6), number: 4 });
    const written = await next.write();
    expect(written).not.toBe(await next.write());
    expect((await opened(written, byPhrase)).keys).toEqual({ secret: filled(6), number: 4 });
    const [phrase] = vault.locks;
    const without = await next.without(phrase!).write();
    expect(await why(() => opened(without, byPhrase))).toBe("wrong_passphrase");
    expect((await opened(without, byPasskey)).keys.number).toBe(4);
    expect(await why(() => next.without(phrase!).without(lock))).toBe("malformed");
    expect(await why(() => next.without(phrase!).without(phrase!))).toBe("malformed");
    expect(await why(() => vault.with(byPasskey))).toBe("malformed");
  });

  it("takes no weak passphrase, no strange key and not too many locks", async () => {
    const vault = await opened(text, byPasskey);
    for (const passphrase of ["", "eleven lett", "\u{1f600}".repeat(11), "a".repeat(1_025)]) {
      expect(await why(() => vault.with({ kind: "passphrase", passphrase }))).toBe("weak_passphrase");
    }
    expect(await why(() => vault.holding({ secret: filled(1, 31), number: 1 }))).toBe("damaged");
    expect(await why(() => vault.holding({ secret: SECRET, number: -1 }))).toBe("damaged");
    let full = vault;
    for (let at = 2; at < 16; at += 1) {
      full = await full.with({ ...freshPasskeyLock(filled(at, 16)), output: filled(at) });
    }
    expect(await why(() => full.with({ ...freshPasskeyLock(filled(99, 16)), output: filled(9) }))).toBe("too_many");
    expect((await ClosedVault.read(await full.write(), did)).locks).toHaveLength(16);
  });
});

describe("a passkey", () => {
  const answering = (rawId: Bytes, first?: BufferSource): Pick<CredentialsContainer, "get"> => ({
    get: (options) => {
      asked = options;
      const getClientExtensionResults = (): object => ({ prf: first ? { results: { first } } : {} });
      return Promise.resolve({ rawId: rawId.buffer, getClientExtensionResults } as unknown as Credential);
    },
  });
  let asked: CredentialRequestOptions | undefined;

  it("is asked for its answer to the salt of its own lock", async () => {
    const answer = await askPasskey([lock], undefined, answering(filled(1, 20), filled(2).buffer));
    expect(answer).toEqual(byPasskey);
    expect((await opened(text, answer)).keys).toEqual(KEYS);
    const { publicKey } = asked ?? {};
    expect(publicKey?.userVerification).toBe("required");
    expect(publicKey?.allowCredentials).toMatchObject([{ type: "public-key", id: filled(1, 20) }]);
    expect(Object.keys(publicKey?.extensions?.prf?.evalByCredential ?? {})).toEqual([lock.credential]);
  });

  it("that cannot answer is told from one that was not shown", async () => {
    const failing = (name: string): Pick<CredentialsContainer, "get"> => ({
      get: () => Promise.reject(new DOMException("", name)),
    });
    expect(await why(() => askPasskey([lock], undefined, answering(filled(1, 20))))).toBe("no_prf");
    expect(await why(() => askPasskey([lock], undefined, answering(filled(1, 20), filled(2, 16))))).toBe("no_prf");
    expect(await why(() => askPasskey([lock], undefined, answering(filled(9, 20), filled(2))))).toBe("wrong_passkey");
    expect(await why(() => askPasskey([lock], undefined, { get: () => Promise.resolve(null) }))).toBe("aborted");
    expect(await why(() => askPasskey([lock], undefined, failing("NotAllowedError")))).toBe("aborted");
    expect(await why(() => askPasskey([lock], undefined, failing("NotSupportedError")))).toBe("unsupported");
    await expect(askPasskey([lock], undefined, failing("DataError"))).rejects.toThrow(DOMException);
  });
});

describe("a vault that was open here", () => {
  it("opens again by its own key, and by no other", async () => {
    const vault = await Vault.make(did, KEYS, byPhrase);
    const later = await vault.holding({ ...KEYS, number: 5 }).with(byPasskey);
    const closed = await ClosedVault.read(await later.write(), did);
    const again = await closed.reopen(vault.dataKey);
    expect(again?.keys).toEqual({ ...KEYS, number: 5 });
    expect(again?.locks).toEqual(later.locks);
    expect(await closed.reopen(filled(4))).toBeNull();
  });
});
