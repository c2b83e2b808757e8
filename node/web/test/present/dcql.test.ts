// Queries for credentials, held against the word of a home.
import { describe, expect, it } from "vitest";
import type { Json, JsonObject } from "../../src/identity/canonical";
import { answeredBy, isPossible, QueryError, readQuery, speaksOurs } from "../../src/present/dcql";

const VC = "https://www.w3.org/2018/credentials#VerifiableCredential";
const credential: JsonObject = { type: ["VerifiableCredential", "HomeMembership"], credentialSubject: { id: "did:a", names: ["Ada", "ada"], member: true } };
const wish = (more: JsonObject = {}): JsonObject => ({ id: "a", format: "ldp_vc", meta: { type_values: [[VC]] }, ...more });
const query = (credentials: Json[], more: JsonObject = {}): JsonObject => ({ credentials, ...more });
const answer = (value: JsonObject): string[] | null => answeredBy(readQuery(value), credential);
const asks = (claims: Json, more: JsonObject = {}): string[] | null => answer(query([wish({ claims, ...more })]));
const other = (id: string): JsonObject => ({ id, format: "mso_mdoc", meta: { doctype_value: "d" } });

describe("a query", () => {
  it("is answered under the names that it gives", () => {
    expect(answer(query([wish()]))).toEqual(["a"]);
    expect(answer(query([wish(), wish({ id: "b-_1", multiple: true })]))).toEqual(["a", "b-_1"]);
    expect(answer(query([wish({ unknown: 1 })], { unknown: 2 }))).toEqual(["a"]);
    expect(answer(query([wish({ meta: { type_values: [["urn:other"], ["urn:wayside:HomeMembership", VC]] } })]))).toEqual(["a"]);
  });

  it.each<[string, JsonObject]>([
    ["of another type", { meta: { type_values: [[VC, "urn:other"]] } }],
    ["that anybody could show again", { require_cryptographic_holder_binding: false }],
    ["of an authority", { trusted_authorities: [{ type: "aki", values: ["x"] }] }],
    ["of another format", other("a")],
  ])("wants what is not here: a credential %s", (_, more) => {
    expect(isPossible(readQuery(query([wish(more)])))).toBe(false);
    // What is not all there is not shown in part.
    expect(answer(query([wish({ id: "b" }), wish(more)]))).toBe(null);
  });

  it("is answered by the first option that can be met of every set", () => {
    const both = [wish(), other("b")];
    const sets = (...credential_sets: Json[]): string[] | null => answer(query(both, { credential_sets }));
    expect(sets({ options: [["b"], ["a"]] })).toEqual(["a"]);
    expect(sets({ options: [["a"]] }, { options: [["b"]], required: false })).toEqual(["a"]);
    expect(sets({ options: [["a"]], required: false })).toEqual(["a"]);
    expect(sets({ options: [["a", "b"]] })).toBe(null);
    expect(sets({ options: [["a"]] }, { options: [["b"]] })).toBe(null);
    expect(sets({ options: [["b"]], required: false })).toBe(null);
    expect(speaksOurs(readQuery(query([other("b")])))).toBe(false);
  });

  it("is answered only where the credential holds the claims", () => {
    const id = { id: "id", path: ["credentialSubject", "id"] };
    const name = { id: "name", path: ["credentialSubject", "names", null], values: ["ada"] };
    const none = { id: "none", path: ["credentialSubject", "age"] };
    expect(asks([id, name])).toEqual(["a"]);
    expect(asks([id, none])).toBe(null);
    expect(asks([id, name, none], { claim_sets: [["none"], ["id", "name"]] })).toEqual(["a"]);
    expect(asks([id, none], { claim_sets: [["none"], ["id", "none"]] })).toBe(null);
    expect(asks([{ path: ["credentialSubject", "names", 1] }])).toEqual(["a"]);
    expect(asks([{ path: ["credentialSubject", "names", 2] }])).toBe(null);
    expect(asks([{ path: ["credentialSubject", 0] }])).toBe(null);
    expect(asks([{ path: ["type", "length"] }])).toBe(null);
    expect(asks([{ path: ["toString"] }])).toBe(null);
    expect(asks([{ path: ["credentialSubject", "member"], values: [true] }])).toEqual(["a"]);
    expect(asks([{ path: ["credentialSubject", "member"], values: ["true"] }])).toBe(null);
  });

  it.each<[string, Json]>([
    ["no object", []],
    ["without credentials", {}],
    ["for no credential", query([])],
    ["for too many", query(Array.from({ length: 17 }, (_, at) => wish({ id: `a${at}` })))],
    ["for no object", query(["a"])],
    ["without an id", query([{ format: "ldp_vc", meta: { type_values: [[VC]] } }])],
    ["with an id of other letters", query([wish({ id: "a.b" })])],
    ["with one id for two", query([wish(), wish()])],
    ["without a format", query([wish({ format: 1 })])],
    ["without meta", query([{ id: "a", format: "ldp_vc" }])],
    ["without types", query([wish({ meta: {} })])],
    ["with no types", query([wish({ meta: { type_values: [] } })])],
    ["with an empty alternative", query([wish({ meta: { type_values: [[]] } })])],
    ["with types that are none", query([wish({ meta: { type_values: [[1]] } })])],
    ["that says how many in words", query([wish({ multiple: "yes" })])],
    ["that says what is needed in words", query([wish({ require_cryptographic_holder_binding: "no" })])],
    ["with no authorities", query([wish({ trusted_authorities: [] })])],
    ["with an authority without values", query([wish({ trusted_authorities: [{ type: "aki" }] })])],
    ["with no claims", query([wish({ claims: [] })])],
    ["with a claim without a path", query([wish({ claims: [{ id: "x" }] })])],
    ["with a path that goes back", query([wish({ claims: [{ path: ["a", -1] }] })])],
    ["with a value that is half", query([wish({ claims: [{ path: ["a"], values: [1.5] }] })])],
    ["with sets of no claims", query([wish({ claim_sets: [["x"]] })])],
    ["with sets of claims without names", query([wish({ claims: [{ path: ["a"] }], claim_sets: [["x"]] })])],
    ["with a set of unknown claims", query([wish({ claims: [{ id: "x", path: ["a"] }], claim_sets: [["y"]] })])],
    ["with no sets", query([wish()], { credential_sets: [] })],
    ["with a set without options", query([wish()], { credential_sets: [{}] })],
    ["with an empty option", query([wish()], { credential_sets: [{ options: [[]] }] })],
    ["with an option that is not there", query([wish()], { credential_sets: [{ options: [["b"]] }] })],
    ["with a need in words", query([wish()], { credential_sets: [{ options: [["a"]], required: "yes" }] })],
  ])("is none that is %s", (_, value) => expect(() => readQuery(value)).toThrow(QueryError));
});
