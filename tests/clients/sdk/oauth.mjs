// matrix-js-sdk's own way through OAuth 2.0: it finds the node's metadata, is let in, and looks after its tokens.
import { randomBytes } from "node:crypto";
import { done, ensure, loaded, PASSWORD, refused, same, sdk } from "./device.mjs";

const { OAuth2, OAuth2HTTPError, OAuthGrantType } = await loaded("matrix-js-sdk/lib/oauth/index.js");
const { TokenRefresher } = await loaded("matrix-js-sdk/lib/oauth/tokenRefresher.js");
const { TokenRefreshLogoutError } = await loaded("matrix-js-sdk/lib/http-api/errors.js");

const BACK = "http://127.0.0.1/back";
const PROGRAM = {
  client_name: "Lantern",
  client_uri: "https://lantern.example/",
  application_type: "native",
  redirect_uris: [BACK],
};

/** What it fails with. */
async function failure(what, deed) {
  try {
    await deed;
  } catch (error) {
    return error;
  }
  throw new Error(`${what} did not fail`);
}

/** The sign-in page, for somebody who lets the program in: what the address says is what the node is asked. */
async function letIn(url, address, user) {
  const authorization = Object.fromEntries(new URL(address).searchParams);
  const body = JSON.stringify({ what: { authorization }, proof: { user, password: PASSWORD } });
  const answer = await fetch(new URL("/_wayside/v1/sign-in", url), { method: "POST", body });
  const { location } = await answer.json();
  ensure(answer.ok && location.startsWith(BACK), location);
  return new URL(location).searchParams;
}

/** Lets a program of its own in for somebody, until it is shown the door. */
export async function signInByOAuth(url, userId) {
  const door = sdk.createClient({ baseUrl: url });
  const metadata = await door.getAuthMetadata();
  ensure(metadata.grant_types_supported.includes(OAuthGrantType.DeviceAuthorization), metadata);
  const clientId = await OAuth2.registerClient(metadata, PROGRAM);
  const deviceId = `LANTERN${randomBytes(3).toString("hex")}`;
  const auth = new OAuth2(metadata, { clientId, deviceId });
  const address = await auth.generateAuthorizationCodeGrantUrl("of the lantern", BACK, "query");
  const came = await letIn(url, address, userId);
  same([came.get("state"), came.get("iss")], ["of the lantern", metadata.issuer], "what came back");

  // Whoever caught the code on its way cannot use it.
  const thief = new OAuth2(metadata, { clientId, deviceId });
  const theft = await failure("the theft of a code", thief.completeAuthorizationCodeGrant(came.get("code"), BACK));
  ensure(theft instanceof OAuth2HTTPError && theft.error === "invalid_grant", `${theft}`);
  const again = await letIn(url, address, userId);
  const tokens = await auth.completeAuthorizationCodeGrant(again.get("code"), BACK);
  const who = (token) => sdk.createClient({ baseUrl: url, accessToken: token }).whoami();
  const opened = await who(tokens.access_token);
  same([opened.user_id, opened.device_id], [userId, deviceId], "who the token is of");

  const kept = [];
  const refresher = new TokenRefresher(auth, (renewed) => kept.push(renewed));
  const renewed = await refresher.refreshTokens(tokens.refresh_token);
  ensure(kept.length === 1 && renewed.accessToken !== tokens.access_token && renewed.expiry > new Date(), kept);
  same((await who(renewed.accessToken)).device_id, deviceId, "the device of the new token");

  await refresher.revokeToken(renewed.refreshToken, "refresh_token");
  const gone = await refused("a revoked token", who(renewed.accessToken));
  same(gone.errcode, "M_UNKNOWN_TOKEN", "what a revoked token is told");
  // By this the client knows that it is logged out, and does not ask for ever.
  const over = await failure("a revoked refresh token", refresher.refreshTokens(renewed.refreshToken));
  ensure(over instanceof TokenRefreshLogoutError, `${over}`);
  done("a program came in by OAuth, renewed its tokens, and left");
}
