// Alice and Bob live with a node through matrix-js-sdk, on which most clients for browsers are built.
//
//   sdk.mjs full URL       all that the client can do, by the classic sync
//   sdk.mjs sliding URL    the same by sliding sync
//   sdk.mjs smoke URL      a message each way in an encrypted room
//
// Each run makes people of its own, so that a node may be visited more than once.
import { randomBytes } from "node:crypto";
import { Attachment, cryptoApi, Device, done, EncryptedAttachment, ensure, PASSWORD, same, SAS } from "./device.mjs";
import { byPassword, refused, tell, until } from "./device.mjs";
import { signInByOAuth } from "./oauth.mjs";

const { VerificationPhase, VerifierEvent } = cryptoApi;
const ENCRYPTION = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
const FILE = Uint8Array.from({ length: 180_000 }, (_, index) => index % 251);
const HALLO = "hallo from Alice";
const ANSWER = "and hallo from Bob";
const EDITED = "and good day from Bob";
const IN_THREAD = "by the way, in a thread";
const NEWS = "this one is for all devices";
const KEYWORD = "lantern";
const TICK = "\u2705";

/** The server holds the ciphertext of a message, and nothing of its words. */
async function checkSealed(person, room, eventId, body) {
  const event = await person.client.fetchRoomEvent(room, eventId);
  same(event.type, "m.room.encrypted", "type of the event on the server");
  same(event.content.algorithm, "m.megolm.v1.aes-sha2", "algorithm");
  ensure(!JSON.stringify(event).includes(body), `the server cannot read "${body}"`);
}

/** What the server tells with an event of those that relate to it. */
async function gathered(person, room, eventId, kind) {
  const event = await person.client.fetchRoomEvent(room, eventId);
  const found = event.unsigned?.["m.relations"]?.[kind];
  ensure(found, `the server gathers ${kind} with ${eventId}`);
  return found;
}

async function arrive(url, wish) {
  const run = randomBytes(3).toString("hex");
  const people = await Promise.all(["alice", "bob"].map((name) => Device.register(url, `${name}-${run}`, wish)));
  done(`${people.map((each) => each.userId).join(" and ")} are registered and logged in`);
  return people;
}

async function meet(alice, bob, wish) {
  const { room_id: room } = await alice.client.createRoom({ visibility: "private", ...wish });
  await alice.client.invite(room, bob.userId);
  const mine = () => bob.room(room)?.getMyMembership();
  await until("the invitation at Bob's", () => mine() === "invite");
  same(bob.room(room).getMember(bob.userId).events.member.getSender(), alice.userId, "who invites");
  await bob.client.joinRoom(room);
  await until("Bob in the room", () => mine() === "join");
  for (const one of [alice, bob]) {
    one.open(room);
    await until("two members", () => one.room(room)?.getJoinedMembers().length === 2);
    same(one.room(room).name, wish.name, "name of the room");
  }
  return room;
}

async function meetInQuiet(alice, bob) {
  const room = await meet(alice, bob, { name: "A quiet room", initial_state: [ENCRYPTION] });
  for (const one of [alice, bob]) {
    await until("the room's encryption", () => one.crypto.isEncryptionEnabledInRoom(room));
  }
  done("an encrypted room, an invitation, two members");
  return room;
}

/** A message each way, plain only to those two. */
async function talk(alice, bob, room) {
  const hallo = await alice.says(room, HALLO);
  same((await bob.hears(room, HALLO)).getId(), hallo, "id of the message");
  const answer = await bob.says(room, ANSWER);
  same((await alice.hears(room, ANSWER)).getSender(), bob.userId, "sender of the answer");
  await checkSealed(bob, room, hallo, HALLO);
  await checkSealed(alice, room, answer, ANSWER);
  done("a message each way, encrypted on the server");
  return { hallo, answer };
}

/** Both get keys by which their devices vouch for each other. */
async function signDevices(...people) {
  for (const one of people) {
    // A server may let somebody in without the password who has no such keys as yet.
    await one.crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: byPassword(one.userId) });
    ensure(await one.crypto.isCrossSigningReady(), "cross-signing is ready");
    await until(`that ${one.userId} vouches for the device`, async () => {
      const status = await one.crypto.getDeviceVerificationStatus(one.userId, one.id);
      return status.signedByOwner && status.crossSigningVerified;
    });
  }
  done("cross-signing keys of both");
}

/** Both compare emoji: in a room with another person, from device to device with oneself. */
async function compareEmoji(asked, other) {
  const request = await until("a request to verify", () => other.requests.at(-1));
  await request.accept();
  await until("both ready to verify", () => [asked, request].every((each) => each.phase === VerificationPhase.Ready));
  const verifier = await asked.startVerification(SAS);
  const shown = [];
  const follow = (each) => {
    each.on(VerifierEvent.ShowSas, (sas) => shown.push(sas));
    return each.verify();
  };
  const finished = [follow(verifier)];
  finished.push(follow(await until("the start of a verification", () => request.verifier)));
  await until("emoji on both sides", () => shown.length === 2);
  same(shown[0].sas.emoji.length, 7, "how many emoji");
  same(shown[0].sas.emoji, shown[1].sas.emoji, "emoji on both sides");
  await Promise.all([...shown.map((each) => each.confirm()), ...finished]);
  await until("both done", () => [asked, request].every((each) => each.phase === VerificationPhase.Done));
}

async function verify(alice, bob, room) {
  const asked = await alice.crypto.requestVerificationDM(bob.userId, room);
  await compareEmoji(asked, bob);
  for (const [one, other] of [[alice, bob], [bob, alice]]) {
    await until(`that ${one.userId} trusts ${other.userId}`, async () =>
      (await one.crypto.getUserVerificationStatus(other.userId)).isCrossSigningVerified(),
    );
    const status = await one.crypto.getDeviceVerificationStatus(other.userId, other.id);
    ensure(status.crossSigningVerified, status);
  }
  done("each verified the other by emoji, in the room");
}

async function relate(alice, bob, room, { hallo, answer }) {
  const edit = { "m.new_content": { msgtype: "m.text", body: EDITED } };
  const relation = { rel_type: "m.replace", event_id: answer };
  const edited = await bob.says(room, `* ${EDITED}`, { ...edit, "m.relates_to": relation });
  const event = await alice.event(room, "the edit", (each) => each.getId() === answer && each.replacingEvent());
  same([event.replacingEventId(), event.getContent().body], [edited, EDITED], "the message after its edit");
  const bundled = await gathered(alice, room, answer, "m.replace");
  same(bundled.event_id, edited, "the edit that the server gathers");
  done("an edit");

  const reaction = { "m.relates_to": { rel_type: "m.annotation", event_id: hallo, key: TICK } };
  await bob.client.sendEvent(room, "m.reaction", reaction);
  const { relations } = alice.room(room);
  const [key, by] = await until("Bob's reaction", () =>
    relations.getChildEventsForEvent(hallo, "m.annotation", "m.reaction")?.getSortedAnnotationsByKey()?.at(0),
  );
  same([key, [...by].map((each) => each.getSender())], [TICK, [bob.userId]], "the reaction");
  done("a reaction");

  // A client opens a thread before anybody writes into it: else its own echo may find none.
  const root = bob.room(room).findEventById(hallo);
  const opened = bob.room(room).createThread(hallo, root, [], true);
  await until("an open thread at Bob's", () => opened.initialEventsFetched);
  const reply = await bob.says(room, IN_THREAD, {}, hallo);
  const thread = await until("the thread at Alice's", () => alice.room(room).getThread(hallo));
  await alice.hears(room, IN_THREAD);
  await until("a thread of one reply", () => thread.length === 1 && thread.replyToEvent?.getId() === reply);
  const isReply = (each) => each.getId() === reply;
  ensure(thread.events.some(isReply), "the reply is part of the thread");
  ensure(!alice.room(room).getLiveTimeline().getEvents().some(isReply), "and not of the room");
  const kept = await gathered(alice, room, hallo, "m.thread");
  same([kept.count, kept.latest_event.event_id], [1, reply], "the thread on the server");
  done("a reply in a thread");

  const unwise = await alice.says(room, "I should not have said that");
  await bob.hears(room, "I should not have said that");
  await alice.client.redactEvent(room, unwise, undefined, { reason: "unwise" });
  await bob.event(room, "the redaction", (each) => each.getId() === unwise && each.isRedacted());
  done("a redaction");
}

async function download(person, mxc) {
  const address = person.client.mxcUrlToHttp(mxc, undefined, undefined, undefined, false, true, true);
  const headers = { authorization: `Bearer ${person.client.getAccessToken()}` };
  const answer = await fetch(address, { headers });
  same(answer.status, 200, `status of ${mxc}`);
  same((await fetch(address)).status, 401, "what somebody without a token gets");
  return { bytes: new Uint8Array(await answer.arrayBuffer()), headers: answer.headers };
}

async function shareFiles(alice, bob, room) {
  const sealed = Attachment.encrypt(FILE);
  const file = JSON.parse(sealed.mediaEncryptionInfo);
  const { content_uri: url } = await alice.client.uploadContent(Buffer.from(sealed.encryptedData), {
    type: "application/octet-stream",
    includeFilename: false,
  });
  const content = { msgtype: "m.file", file: { ...file, url }, info: { size: FILE.length } };
  await alice.says(room, "secret.bin", content);
  const { file: found } = (await bob.hears(room, "secret.bin")).getContent();
  const { bytes } = await download(bob, found.url);
  ensure(bytes.length === FILE.length && !Buffer.from(bytes).equals(FILE), "the server holds the file encrypted");
  const opened = Attachment.decrypt(new EncryptedAttachment(bytes, JSON.stringify(found)));
  ensure(Buffer.from(opened).equals(FILE), "the file is decrypted to what was sent");
  done("an encrypted file");

  const wish = { type: "text/x-wayside", name: "open.txt" };
  const open = await bob.client.uploadContent(Buffer.from(FILE), wish);
  const got = await download(alice, open.content_uri);
  ensure(Buffer.from(got.bytes).equals(FILE), "a plain file comes back as it was sent");
  same(got.headers.get("content-type"), wish.type, "type of the plain file");
  ensure(got.headers.get("content-disposition").includes(wish.name), "the name of the plain file");
  done("a plain file");
}

async function notice(alice, bob, room) {
  // Whoever syncs is online, whatever else they say.
  await bob.client.setPresence({ presence: "online", status_msg: "by the fire" });
  await until("Bob's presence", async () => {
    // Sliding sync says nothing of presence: there it must be asked for.
    const user = alice.sliding ? await alice.client.getPresence(bob.userId) : alice.client.getUser(bob.userId);
    const { presence, status_msg: asked, presenceStatusMsg: told } = user ?? {};
    return presence === "online" && (asked ?? told) === "by the fire";
  });
  done("presence");

  for (const types of [true, false]) {
    await bob.client.sendTyping(room, types, 20_000);
    await until(`that Bob types: ${types}`, () => alice.room(room).getMember(bob.userId).typing === types);
  }
  done("typing");

  const said = await alice.says(room, "have you read this?");
  await bob.client.sendReadReceipt(await bob.hears(room, "have you read this?"));
  await until("Bob's receipt", () => alice.room(room).getEventReadUpTo(bob.userId, true) === said);
  done("receipts");
}

/** Rules of what is worth a notification, and the counts that they lead to, in a room that the server can read. */
async function count(alice, bob) {
  const room = await meet(alice, bob, { name: "A loud room" });
  const rules = await bob.client.getPushRules();
  const kinds = ["override", "underride", "sender", "room", "content"];
  same(kinds.filter((kind) => !Array.isArray(rules.global[kind])), [], "kinds of rules that are missing");
  ensure(rules.global.override.some((rule) => rule.rule_id === ".m.rule.master" && !rule.enabled), "nothing is off");

  const counts = async (what, ...expected) => {
    await until(`counts ${expected} of Bob after ${what}`, () => bob.counts(room).join() === expected.join());
  };
  const read = async (body) => {
    const event = await bob.event(room, `the message "${body}"`, (each) => each.getContent().body === body);
    await bob.client.sendReadReceipt(event);
    await counts("reading", 0, 0);
  };
  await alice.says(room, "one");
  await alice.says(room, "two");
  await counts("two messages", 2, 0);
  await read("two");
  done("unread messages are counted, and read ones are not");

  const rule = { pattern: KEYWORD, actions: ["notify", { set_tweak: "highlight" }] };
  await bob.client.addPushRule("global", "content", KEYWORD, rule);
  const isRule = (each) => each.pattern === KEYWORD;
  await until("the rule at Bob's", () => bob.client.pushRules.global.content.some(isRule));
  await alice.says(room, `who has the ${KEYWORD}?`);
  await counts("a keyword", 1, 1);
  await read(`who has the ${KEYWORD}?`);
  done("a keyword is highlighted");

  await bob.client.setRoomMutePushRule("global", room, true);
  const muted = (each) => each.rule_id === room;
  await until("the mute at Bob's", () => bob.client.pushRules.global.room.some(muted));
  await alice.says(room, "unheard");
  await bob.event(room, "the unheard message", (each) => each.getContent().body === "unheard");
  await counts("a message in a muted room", 0, 0);
  await read("unheard");
  await bob.client.setRoomMutePushRule("global", room, false);
  await until("no mute at Bob's", () => !bob.client.pushRules.global.room.some(muted));
  await alice.says(room, "heard");
  await counts("a message in a room that is no longer muted", 1, 0);
  await read("heard");
  await bob.client.deletePushRule("global", "content", KEYWORD);
  done("a muted room counts nothing");
}

/** Bob's second device: seen by Alice, vouched for by his first one, and given the next message. */
async function bringDevice(alice, bob, room, url) {
  const other = await Device.logIn(url, bob.userId, "third", { sliding: Boolean(bob.sliding) });
  await until("the room on Bob's new device", () => other.room(room));
  other.open(room);
  await until("Bob's new device at Alice's", () => alice.knows(other));
  done("a new login is seen by the other");

  await until("the new device at Bob's old one", () => bob.knows(other));
  bob.requests.length = 0;
  await until("Bob's own keys on his new device", () => other.crypto.userHasCrossSigningKeys());
  await compareEmoji(await other.crypto.requestOwnUserVerification(), bob);
  await until("that Alice trusts the new device", async () =>
    (await alice.crypto.getDeviceVerificationStatus(bob.userId, other.id))?.crossSigningVerified,
  );
  await until("Bob's secrets on his new device", () => other.crypto.isCrossSigningReady());
  done("his devices verified each other, and the new one was given the secrets");

  await alice.says(room, NEWS);
  for (const each of [bob, other]) await each.hears(room, NEWS);
  done("the next message is for the new device too");
  return other;
}

async function deleteDevice(alice, bob, other) {
  const first = await refused("a deletion without a password", other.client.deleteDevice(bob.id));
  same(first.httpStatus, 401, "status of a deletion without a password");
  const auth = (password) => {
    const identifier = { type: "m.id.user", user: other.userId };
    return { type: "m.login.password", identifier, password, session: first.data.session };
  };
  const again = await refused("a wrong password", other.client.deleteDevice(bob.id, auth("not the password")));
  same([again.httpStatus, again.errcode], [401, "M_FORBIDDEN"], "answer to a wrong password");
  await other.client.deleteDevice(bob.id, auth(PASSWORD));
  const { devices } = await other.client.getDevices();
  same(devices.map((each) => each.device_id), [other.id], "devices that are left");
  await until("that the deleted device knows", () => bob.wasLoggedOut);
  await until("that Alice knows", async () => !(await alice.knows(bob)));
  done("a device deleted by password");
}

/** Alice logs out everywhere, comes back on a new device, and reads what was said with her recovery key alone. */
async function comeBack(alice, bob, room, recoveryKey, url) {
  // The client itself remembers what the server once said of the backup.
  const backup = () => alice.client.http.authedRequest("GET", "/room_keys/version");
  const { version } = await backup();
  const held = new Set((await alice.crypto.exportRoomKeys()).map((key) => key.session_id)).size;
  await until(`${held} keys in the backup`, async () => (await backup()).count === held);
  await alice.leave();

  const again = await Device.logIn(url, alice.userId, "after", { sliding: Boolean(alice.sliding), window: 5 });
  await until("the room on the new device", () => again.room(room));
  again.open(room);
  const sealed = await until("the sealed message", async () => {
    const events = again.room(room)?.getLiveTimeline().getEvents() ?? [];
    return events.find((each) => each.isEncrypted() && each.isDecryptionFailure());
  });
  ensure(sealed, "a new device cannot read what was said before it came");

  await again.tell(recoveryKey);
  await until("her own keys on the new device", () => again.crypto.userHasCrossSigningKeys());
  await again.crypto.bootstrapCrossSigning({});
  ensure(await again.crypto.isCrossSigningReady(), "the cross-signing keys came out of the secret storage");
  await again.crypto.loadSessionBackupPrivateKeyFromSecretStorage();
  await again.crypto.checkKeyBackupAndEnable();
  same(await again.crypto.getActiveSessionBackupVersion(), version, "version of the backup");
  const { total, imported } = await again.crypto.restoreKeyBackup();
  same([total, imported], [held, held], "keys out of the backup");
  const timeline = again.room(room).getLiveTimeline();
  await until("the beginning of the room", async () =>
    !(await again.client.paginateEventTimeline(timeline, { backwards: true, limit: 20 })),
  );
  for (const body of [HALLO, EDITED, NEWS]) await again.hears(room, body);
  done("a new device reads all by the recovery key");

  await until("that Bob trusts the new device", async () =>
    (await bob.crypto.getDeviceVerificationStatus(again.userId, again.id))?.crossSigningVerified,
  );
  await bob.says(room, "welcome back");
  await again.hears(room, "welcome back");
  done("and is trusted by Bob without another look at emoji");
  return again;
}

/** Alice throws all keys away and makes new ones, for which her password is asked; Bob is warned of it. */
async function beginAnew(alice, bob) {
  const { version } = await alice.crypto.getKeyBackupInfo();
  const before = await alice.crypto.getCrossSigningKeyId();
  const asked = [];
  await alice.crypto.resetEncryption(byPassword(alice.userId, asked));
  same(asked.length, 1, "how often a password was asked for");
  ensure(asked[0].flows.some((flow) => flow.stages.join() === "m.login.password"), asked);
  ensure((await alice.crypto.getCrossSigningKeyId()) !== before, "her key is another one");
  ensure((await alice.crypto.getKeyBackupInfo()).version !== version, "her backup is another one");
  await until("that Alice is not the same at Bob's", async () => {
    const status = await bob.crypto.getUserVerificationStatus(alice.userId);
    return status.wasCrossSigningVerified() && !status.isCrossSigningVerified();
  });
  done("new keys ask for the password, and others are warned");
}

async function full(url, wish) {
  const [alice, bob] = await arrive(url, wish);
  await signDevices(alice, bob);
  const recoveryKey = await alice.keepSecrets();
  const room = await meetInQuiet(alice, bob);
  const said = await talk(alice, bob, room);
  await verify(alice, bob, room);
  await relate(alice, bob, room, said);
  await shareFiles(alice, bob, room);
  await notice(alice, bob, room);
  await count(alice, bob);
  const other = await bringDevice(alice, bob, room, url);
  await deleteDevice(alice, bob, other);
  const again = await comeBack(alice, other, room, recoveryKey, url);
  await beginAnew(again, other);
  await signInByOAuth(url, again.userId);
  for (const each of [again, other]) await each.leave();
  done("everybody has logged out");
}

async function smoke(url) {
  const [alice, bob] = await arrive(url);
  const room = await meetInQuiet(alice, bob);
  await talk(alice, bob, room);
  for (const each of [alice, bob]) await each.leave();
  done("everybody has logged out");
}

const [extent, address] = process.argv.slice(2);
const url = address.replace(/\/$/, "");
await tell({ full: () => full(url), sliding: () => full(url, { sliding: true }), smoke: () => smoke(url) }[extent]);
