// A club that vouches for its members: a provider of identities that others wrote.
import { once } from "node:events";
import { pathToFileURL } from "node:url";
import { packages } from "./lib.mjs";

/** What the provider says of its settings is no answer to a step. */
console.info = console.error;

export async function listen(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server.address().port;
}

/** Lets a server that listens already be the club that this node knows. */
export async function openClub(server, { issuer, secret, home }) {
  const { default: Provider } = await import(pathToFileURL(packages.resolve("oidc-provider")));
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "wayside",
        client_secret: secret,
        redirect_uris: [new URL("/sign-in/return", home).href],
        token_endpoint_auth_method: "client_secret_basic",
      },
    ],
    claims: { openid: ["sub"], profile: ["name", "preferred_username"], email: ["email"] },
    cookies: { keys: ["of this story alone"] },
    features: { devInteractions: { enabled: true } },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, name: `${id} of the Club`, preferred_username: id, email: `${id}@club.example` }),
    }),
  });
  server.on("request", provider.callback());
}
