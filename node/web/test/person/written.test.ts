// How an identity is written for people.
import { describe, expect, it } from "vitest";
import { endOf, didWithPlace } from "../../src/ui/identity/written";
import { ada } from "../identity/ada";

describe("an identity in writing", () => {
  it("says where it is, and enough to tell it from others", async () => {
    const { did, scid } = (await ada()).log;
    expect(didWithPlace(did)).toBe(`did:webvh:${scid.slice(0, 6)}…${scid.slice(-6)}:a.example:people:ada`);
    expect(didWithPlace("did:web:a.example:people:ada")).toBe("did:web:a.example:people:ada");
    expect(endOf("z6MkhghdNFxxVM")).toBe("NFxxVM");
  });
});
