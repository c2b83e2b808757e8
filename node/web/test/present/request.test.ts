// Questions for who somebody is: those that are answered, and why the others are not.
import { describe, expect, it } from "vitest";
import { Astray, readRequest, Refused, type Request } from "../../src/present/request";

const BACK = "https://b.example/sign-in/return";
const MEMBERSHIP = ["https://www.w3.org/2018/credentials#VerifiableCredential", "urn:wayside:HomeMembership"];
const home = (more: object = {}): object => ({ id: "home", format: "ldp_vc", meta: { type_values: [MEMBERSHIP] }, ...more });
const asking = (...credentials: object[]): string => JSON.stringify({ credentials });
const formats = (ldp: object): string => JSON.stringify({ vp_formats_supported: { ldp_vc: ldp } });

const sound: Record<string, string> = {
  response_type: "vp_token",
  client_id: `redirect_uri:${BACK}`,
  redirect_uri: BACK,
  response_mode: "fragment",
  nonce: "n-0S6_WzA2Mj",
  state: "did.x~1",
  dcql_query: asking(home()),
  client_metadata: JSON.stringify({
    vp_formats_supported: { ldp_vc: { proof_type_values: ["DataIntegrityProof"], cryptosuite_values: ["eddsa-jcs-2022"] } },
    client_name: "The Garden",
  }),
};

/** The question with some members changed, and those left out that are null. */
function search(change: Record<string, string | null> = {}, more = ""): string {
  const given = Object.entries({ ...sound, ...change }).filter((entry): entry is [string, string] => entry[1] !== null);
  return `?${new URLSearchParams(given)}${more}`;
}

const read = (change: Record<string, string | null> = {}, more = ""): Request => readRequest(search(change, more));

/** What whoever asked is told, or that nobody is. */
function refusal(change: Record<string, string | null>, more = ""): string {
  try {
    read(change, more);
    return "answered";
  } catch (error) {
    if (error instanceof Refused) return error.code;
    if (error instanceof Astray) return "astray";
    throw error;
  }
}

const direct = { response_mode: "direct_post", redirect_uri: null, response_uri: BACK };

describe("a question", () => {
  it("says who asks, and where the answer goes", () => {
    const { way, clientId, nonce, claimedName } = read();
    expect([way.address.href, way.mode, way.state]).toEqual([BACK, "fragment", "did.x~1"]);
    expect([clientId, nonce, claimedName]).toEqual([`redirect_uri:${BACK}`, "n-0S6_WzA2Mj", "The Garden"]);
  });

  it.each<[string, Record<string, string | null>, string]>([
    ["without redirect_uri", { redirect_uri: null }, ""],
    ["without response_mode", { response_mode: null }, ""],
    ["without state", { state: null }, ""],
    ["with an empty scope", { scope: "" }, ""],
    ["with what nobody knows", { ui_locales: "de", verifier_info: "[]" }, ""],
    ["from this machine", { client_id: "redirect_uri:http://localhost:8080/cb", redirect_uri: null }, ""],
    ["that wants its answer posted", direct, ""],
    ["that leaves out where to post it", { ...direct, response_uri: null }, ""],
    ["that takes any proof", { client_metadata: formats({}) }, ""],
  ])("is read %s", (_, change, more) => expect(refusal(change, more)).toBe("answered"));

  it.each<[string, Record<string, string | null>, string]>([
    ["nobody", { client_id: null }, ""],
    ["somebody by a name", { client_id: "b.example" }, ""],
    ["somebody with a certificate", { client_id: "x509_san_dns:b.example" }, ""],
    ["two at once", {}, "&client_id=redirect_uri:https://c.example/"],
    ["one who wants it sent elsewhere", { redirect_uri: "https://c.example/" }, ""],
    ["one who wants it sent to a near place", { redirect_uri: `${BACK}/` }, ""],
    ["one with two places", {}, `&redirect_uri=${BACK}`],
    ["one who wants it posted elsewhere", { ...direct, response_uri: "https://c.example/" }, ""],
    ["one with two modes", {}, "&response_mode=direct_post"],
    ["one without encryption", { client_id: "redirect_uri:http://b.example/", redirect_uri: null }, ""],
    ["a name that sounds like this machine", { client_id: "redirect_uri:http://localhost.example/", redirect_uri: null }, ""],
    ["a script", { client_id: "redirect_uri:javascript:alert(1)", redirect_uri: null }, ""],
    ["an address with a name in it", { client_id: "redirect_uri:https://b.example@c.example/", redirect_uri: null }, ""],
    ["an address with a fragment", { client_id: "redirect_uri:https://b.example/#a", redirect_uri: null }, ""],
    ["an address with a backslash", { client_id: "redirect_uri:https://b.example\\@c.example/", redirect_uri: null }, ""],
    ["an address with a line in it", { client_id: "redirect_uri:https://b.exam\nple/", redirect_uri: null }, ""],
    ["an address in other letters", { client_id: "redirect_uri:https://bеispiel.example/", redirect_uri: null }, ""],
    ["an address without a host", { client_id: "redirect_uri:https:b.example", redirect_uri: null }, ""],
    ["an address without an end", { client_id: `redirect_uri:https://b.example/${"a".repeat(2048)}`, redirect_uri: null }, ""],
    ["no end of things", { other: "a".repeat(17_000) }, ""],
    ["half a letter", {}, "&other=%C3"],
  ])("goes nowhere that is asked by %s", (_, change, more) => expect(refusal(change, more)).toBe("astray"));

  it.each<[string, string, Record<string, string | null>, string]>([
    ["invalid_request", "without response_type", { response_type: null }, ""],
    ["unsupported_response_type", "for a code", { response_type: "code" }, ""],
    ["unsupported_response_type", "for more than is here", { response_type: "vp_token id_token" }, ""],
    ["invalid_request", "with an answer in the query", { response_mode: "query" }, ""],
    ["invalid_request", "with an encrypted answer", { ...direct, response_mode: "direct_post.jwt" }, ""],
    ["invalid_request", "with both addresses, to be posted", { ...direct, redirect_uri: BACK }, ""],
    ["invalid_request", "with both addresses", { response_uri: BACK }, ""],
    ["invalid_request", "without nonce", { nonce: null }, ""],
    ["invalid_request", "with a nonce of other letters", { nonce: "a b" }, ""],
    ["invalid_request", "with a nonce without end", { nonce: "a".repeat(1025) }, ""],
    ["invalid_request", "with a state of other letters", { state: "a/b" }, ""],
    ["invalid_request", "with two states", {}, "&state=c"],
    ["invalid_request", "in which anything stands twice", {}, "&other=1&other=2"],
    ["request_not_supported", "with a request object", { request: "e30.e30.e30" }, ""],
    ["request_uri_not_supported", "with the address of one", { request_uri: "https://b.example/r" }, ""],
    ["invalid_request", "with the way to none", { request_uri_method: "post" }, ""],
    ["invalid_transaction_data", "with a transaction", { transaction_data: '["e30"]' }, ""],
    ["invalid_scope", "by a scope", { scope: "membership", dcql_query: null }, ""],
    ["invalid_request", "by a scope and a query", { scope: "membership" }, ""],
    ["invalid_request", "for nothing", { dcql_query: null }, ""],
    ["invalid_request", "without formats", { client_metadata: "{}" }, ""],
    ["invalid_request", "that says nothing of itself", { client_metadata: null }, ""],
    ["invalid_request", "that is no JSON", { client_metadata: "{" }, ""],
    ["invalid_request", "that says a thing in two ways", { client_metadata: '{"a":1,"a":2}' }, ""],
    ["vp_formats_not_supported", "for other formats", { client_metadata: '{"vp_formats_supported":{"mso_mdoc":{}}}' }, ""],
    ["vp_formats_not_supported", "for other proofs", { client_metadata: formats({ proof_type_values: ["Ed25519Signature2020"] }) }, ""],
    ["vp_formats_not_supported", "for other suites", { client_metadata: formats({ cryptosuite_values: ["ecdsa-jcs-2019"] }) }, ""],
    ["vp_formats_not_supported", "for suites that are no list", { client_metadata: formats({ cryptosuite_values: "eddsa-jcs-2022" }) }, ""],
    ["vp_formats_not_supported", "for a credential of another format", { dcql_query: asking({ id: "a", format: "mso_mdoc", meta: {} }) }, ""],
    ["access_denied", "for another credential", { dcql_query: asking(home({ meta: { type_values: [["urn:other"]] } })) }, ""],
  ])("is answered by %s %s", (code, _, change, more) => expect(refusal(change, more)).toBe(code));

  it("keeps its state where it is refused, and knows the way back", () => {
    const told = (change: Record<string, string | null>, more = ""): unknown => {
      try {
        return read(change, more);
      } catch (error) {
        const { way } = error as Refused;
        return [way.address.href, way.mode, way.state];
      }
    };
    expect(told({ nonce: null })).toEqual([BACK, "fragment", "did.x~1"]);
    expect(told({ ...direct, nonce: null })).toEqual([BACK, "direct_post", "did.x~1"]);
    expect(told({ ...direct, response_mode: "direct_post.jwt" })).toEqual([BACK, "direct_post", "did.x~1"]);
    expect(told({ state: "a b" })).toEqual([BACK, "fragment", null]);
    expect(told({}, "&state=c")).toEqual([BACK, "fragment", null]);
  });

  it("shows no name that turns letters around, nor one without end", () => {
    const named = (name: unknown): string | null =>
      read({ client_metadata: JSON.stringify({ vp_formats_supported: { ldp_vc: {} }, client_name: name }) }).claimedName;
    expect(named(" a\u202eb\u0000\n")).toBe("ab");
    expect(named("\ud83c\udf3b".repeat(100))).toBe("\ud83c\udf3b".repeat(80));
    expect([named(""), named("\u200b"), named(1), named(undefined)]).toEqual([null, null, null, null]);
  });
});
