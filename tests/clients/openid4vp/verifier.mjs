// A verifier of OpenID for Verifiable Presentations 1.0 that others wrote asks a wallet who somebody is.
//
//   verifier.mjs MODE WALLET PORT RESOLVER CERT KEY TOKEN
//
// MODE is how the answer comes to https://localhost:PORT/, by `direct_post` or `fragment`; WALLET is the address of the
// page that shows who somebody is, and RESOLVER what DIDs are resolved behind (the HTTP binding of DID Resolution).
// PORT is 0 for one that is free. CERT and KEY are files: the library asks over https alone. TOKEN lets it ask RESOLVER.
//
// It prints a line of JSON for its question, `{"request": ADDRESS}`, and one for each answer that comes: with what was
// `shown`, with the code by which the wallet `declined`, or why this verifier `refused`. It ends when its standard
// input does.
//
// What is whose: the question and the form of the answer are judged by oid4vc-ts, what was asked for by dcql-ts (both
// of the OpenWallet Foundation), the signatures by jsonld-signatures with its suite (Digital Bazaar), types by
// jsonld.js. What no library does is here: that the one who shows it is who it speaks of, and that it is good now.
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import https from "node:https";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

// Packages lie outside of the checkout, where setup has put them.
const require = createRequire(join(process.env.WAYSIDE_OPENID4VP, "package.json"));
const loaded = (name) => import(pathToFileURL(require.resolve(name)));
const openid4vp = await loaded("@openid4vc/openid4vp");
const { DcqlPresentationResult, DcqlQuery } = await loaded("dcql");
const { DataIntegrityProof } = await loaded("@digitalbazaar/data-integrity");
const { createVerifyCryptosuite } = await loaded("@digitalbazaar/eddsa-jcs-2022-cryptosuite");
const { default: credentials } = await loaded("@digitalbazaar/credentials-context");
const { default: jsonld } = await loaded("jsonld");
const { default: jsigs } = await loaded("jsonld-signatures");
const { AssertionProofPurpose, AuthenticationProofPurpose } = jsigs.purposes;

const ANSWER_BYTES = 256 * 1024;
const FETCH_MS = 10_000;
const SKEW_MS = 5 * 60_000;
const OURS = "urn:wayside:credentials:v1";
const SUITE = "eddsa-jcs-2022";
const WISH = "membership";
const TYPES = ["https://www.w3.org/2018/credentials#VerifiableCredential", "urn:wayside:HomeMembership"];
const QUERY = {
  credentials: [
    {
      id: WISH,
      format: "ldp_vc",
      meta: { type_values: [TYPES] },
      claims: [{ path: ["credentialSubject", "account"] }],
    },
  ],
};
const PAGE = `<!doctype html><title>A verifier</title><p id="said">…</p><script type="module">
const answer = await fetch("/answer", { method: "POST", body: new URLSearchParams(location.hash.slice(1)) });
document.querySelector("#said").textContent = (await answer.json()).said;
</script>`;

const [mode, wallet, port, resolver, cert, key, token] = process.argv.slice(2);
if (!["direct_post", "fragment"].includes(mode) || !token) {
  console.error("verifier.mjs MODE WALLET PORT RESOLVER CERT KEY TOKEN");
  process.exit(2);
}
const isPosted = mode === "direct_post";
const ownContext = JSON.parse(await readFile(new URL("../../../specs/credentials.json", import.meta.url), "utf8"));

class Refused extends Error {}

function ensure(holds, why) {
  if (!holds) throw new Refused(why);
}

const tell = (said) => console.log(JSON.stringify(said));

/** The document of a DID. */
async function resolved(did) {
  const headers = { authorization: `Bearer ${token}` };
  const answer = await fetch(resolver + encodeURIComponent(did), { headers, signal: AbortSignal.timeout(FETCH_MS) });
  ensure(answer.ok, `${did} cannot be resolved: ${answer.status}`);
  // The libraries do not know that references in a document are relative to its DID (DID 1.0, section 3.2.2).
  const whole = (_, value) => (typeof value === "string" && value.startsWith("#") ? did + value : value);
  const said = JSON.parse(await answer.text(), whole);
  const document = said.didDocument ?? said;
  ensure(document.id === did, `the document of ${did} is that of ${document.id}`);
  return document;
}

/** What the libraries ask for: contexts, of which none is fetched, documents of DIDs, and methods in them. */
async function documentLoader(url) {
  const found = (document) => ({ contextUrl: null, documentUrl: url, document });
  if (url === OURS) return found(ownContext);
  if (credentials.contexts.has(url)) return found(credentials.contexts.get(url));
  ensure(url.startsWith("did:"), `${url} is nothing that is loaded here`);
  const [did, fragment] = url.split("#");
  const document = await resolved(did);
  if (fragment === undefined) return found(document);
  const method = document.verificationMethod?.find(({ id }) => id === url || id === `#${fragment}`);
  ensure(method, `${did} has no key ${url}`);
  return found({ "@context": "https://w3id.org/security/multikey/v1", ...method, id: url });
}

/** Whether a document is signed to an end, by a key of whoever speaks in it. */
async function mustBeSigned(document, speaker, purpose, what) {
  const suite = new DataIntegrityProof({ cryptosuite: createVerifyCryptosuite() });
  const verdict = await jsigs.verify(document, { suite, purpose, documentLoader });
  const [failure] = verdict.error?.errors ?? [verdict.error];
  ensure(verdict.verified, `${what} does not verify: ${failure?.message}`);
  ensure(document.proof?.cryptosuite === SUITE, `${what} is not signed by ${SUITE}`);
  const isTheirs = document.proof.verificationMethod.startsWith(`${speaker}#`);
  ensure(isTheirs, `${what} is signed by somebody else than ${speaker}`);
}

const idOf = (one) => (typeof one === "string" ? one : one?.id);

function mustBeNow({ validFrom, validUntil }) {
  const now = Date.now();
  ensure(!validFrom || Date.parse(validFrom) <= now + SKEW_MS, `the credential is good from ${validFrom} on`);
  ensure(!validUntil || Date.parse(validUntil) >= now - SKEW_MS, `the credential was good until ${validUntil}`);
}

/** What DCQL has to know of a credential: its types by their whole names, and what it says. */
async function asShown(credential) {
  const [{ "@type": type }] = await jsonld.expand(credential, { documentLoader, safe: true });
  return { credential_format: "ldp_vc", type, claims: credential, cryptographic_holder_binding: true };
}

/** What a presentation shows, if all of it holds. */
async function judged(presentation) {
  const holder = idOf(presentation.holder);
  ensure(typeof holder === "string", "the presentation has no holder");
  const { client_id: domain, nonce: challenge } = question.authorizationRequestPayload;
  await mustBeSigned(presentation, holder, new AuthenticationProofPurpose({ challenge, domain }), "the presentation");
  const age = Date.now() - Date.parse(presentation.proof.created);
  ensure(Math.abs(age) <= 2 * SKEW_MS, `the presentation was signed at ${presentation.proof.created}`);
  const credentials = [presentation.verifiableCredential ?? []].flat();
  const shown = await Promise.all(credentials.map(asShown));
  const query = DcqlQuery.parse(QUERY);
  DcqlQuery.validate(query);
  const result = DcqlPresentationResult.fromDcqlPresentation({ [WISH]: shown }, { dcqlQuery: query });
  const matches = JSON.stringify(result.credential_matches);
  ensure(result.can_be_satisfied, `what was shown is not what was asked for: ${matches}`);
  const [credential] = credentials;
  const issuer = idOf(credential.issuer);
  await mustBeSigned(credential, issuer, new AssertionProofPurpose(), "the credential");
  mustBeNow(credential);
  const { id, account, name } = credential.credentialSubject;
  ensure(id === holder, `the credential speaks of ${id}, and ${holder} shows it`);
  return { holder, issuer, account, name };
}

let isAnswered = false;

/** What becomes of an answer. */
async function verdict(body) {
  const authorizationResponse = Object.fromEntries(new URLSearchParams(body));
  const { authorizationRequestPayload } = question;
  if (authorizationResponse.error) {
    ensure(authorizationResponse.state === authorizationRequestPayload.state, "the answer is to another question");
    return { declined: authorizationResponse.error };
  }
  const { dcql } = await openid4vp.parseOpenid4vpAuthorizationResponse({
    authorizationResponse,
    authorizationRequestPayload,
    callbacks: {},
  });
  const [[name, presentations], ...others] = Object.entries(dcql.presentations);
  ensure(name === WISH && presentations.length === 1 && others.length === 0, "the answer holds what nobody asked for");
  const shown = await judged(presentations[0]);
  ensure(!isAnswered, "the question was answered before");
  isAnswered = true;
  return { shown };
}

async function received(request) {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) {
    body += chunk;
    ensure(body.length <= ANSWER_BYTES, "the answer is too long");
  }
  return body;
}

async function answered(request, response) {
  const { pathname } = new URL(request.url, place);
  if (request.method !== "POST" || pathname !== "/answer") {
    response.writeHead(pathname === "/" ? 200 : 404, { "content-type": "text/html; charset=utf-8" });
    response.end(pathname === "/" ? PAGE : "");
    return;
  }
  let said;
  try {
    said = await verdict(await received(request));
  } catch (error) {
    said = { refused: error.message };
  }
  tell(said);
  // A page of another origin brings the answer, and has to read where its person goes on.
  const head = { "content-type": "application/json", "access-control-allow-origin": "*", "cache-control": "no-store" };
  response.writeHead("refused" in said ? 400 : 200, head);
  response.end(JSON.stringify(isPosted ? { redirect_uri: place } : { said: JSON.stringify(said) }));
}

const server = https.createServer({ cert: await readFile(cert), key: await readFile(key) }, answered);
await once(server.listen(Number(port), "localhost"), "listening");
const place = `https://localhost:${server.address().port}/`;
const address = isPosted ? `${place}answer` : place;
const question = await openid4vp.createOpenid4vpAuthorizationRequest({
  scheme: wallet,
  authorizationRequestPayload: {
    response_type: "vp_token",
    client_id: `redirect_uri:${address}`,
    ...(isPosted ? { response_mode: "direct_post", response_uri: address } : { redirect_uri: address }),
    nonce: randomBytes(16).toString("base64url"),
    state: randomBytes(16).toString("base64url"),
    dcql_query: QUERY,
    client_metadata: {
      client_name: "A verifier of others",
      vp_formats_supported: { ldp_vc: { proof_type_values: ["DataIntegrityProof"], cryptosuite_values: [SUITE] } },
    },
  },
  callbacks: {},
});
tell({ request: question.authorizationRequest });
process.stdin.resume().on("end", () => process.exit(0));
