// A member's own Matrix device: hears the news, opens and sends what is encrypted, knows whom it may trust.
import { RoomSettings, EncryptionAlgorithm, RoomId, UserId } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Said } from "../api/chat";
import { ApiError, ask } from "../api/http";
import type { Proof } from "../api/proof";
import { localpart } from "../api/session";
import { DeviceError } from "./errors";
import { friendsIn } from "./friends";
import { CLIENT, Machine } from "./machine";
import { People, shieldOf } from "./people";
import type { Calls, Conversation, Identity, News, OwnDevice, Overview, Page, Person } from "./protocol";
import { Reader } from "./reading";
import { Recovery } from "./recovery";
import { Room } from "./rooms";
import { Sender } from "./sending";
import { type Answer, listen, type RawEvent } from "./sync";
import { isTalk } from "./questions";
import { Verifying } from "./verifying";
import { comparisonsOf, keepComparisons, vaultOf } from "./vault";

/** Changes that come together are told together. */
const GATHER_MS = 60;
const PAGE = 40;
const ADDRESS = /^@[^:\s]+:[\w.-]+(:\d+)?$|^@[^:\s]+:\[[\da-f:.]+\](:\d+)?$/i;
const MEGOLM = "m.megolm.v1.aes-sha2";
/** Beyond that it is looked who is in a room when it is opened. */
const MOST_ROOMS = 200;

type Answering = { [K in keyof Calls]?: (...args: Parameters<Calls[K]>) => Promise<ReturnType<Calls[K]>> };

export class Device {
  private readonly rooms = new Map<string, Room>();
  /** The other one of each direct conversation, by room. */
  private direct = new Map<string, string>();
  private readonly present = new Map<string, boolean>();
  private readonly peopleOf = new Map<string, Person[]>();
  private readonly reader: Reader;
  private readonly sender: Sender;
  private readonly people: People;
  private readonly verifying: Verifying;
  private readonly recovery: Recovery;
  private readonly stop = new AbortController();
  private signIns: OwnDevice[] = [];
  private heard = false;
  private announce: () => void = () => {};
  /** When the first news are read, and the rooms are known. */
  readonly ready = new Promise<void>((resolve) => {
    this.announce = resolve;
  });
  private timer: ReturnType<typeof setTimeout> | null = null;

  private constructor(
    private readonly machine: Machine,
    private readonly tell: (news: News) => void,
  ) {
    this.recovery = new Recovery(machine, () => this.changed());
    this.reader = new Reader(machine, this.recovery);
    this.sender = new Sender(machine, async (room) => {
      await this.keepEncrypted(room);
      setTimeout(() => void this.meet(room).catch(console.warn));
    });
    this.people = new People(machine);
    this.verifying = new Verifying(machine, {
      ask: (userId, content) => this.askInRoom(userId, content),
      say: (roomId, type, content) => this.sender.send(this.room(roomId), type, content, crypto.randomUUID()),
      keep: (comparisons) => keepComparisons(machine.identity.userId, machine.identity.deviceId, comparisons),
      nameOf: (userId) => this.nameOf(userId),
      changed: () => this.changed(),
      verified: (userId) => void this.verified(userId).catch(console.warn),
    });
    machine.toRoom = async ({ room_id: roomId, event_type: type, txn_id: transaction, body }) => {
      const content = JSON.parse(body) as object;
      return { event_id: await this.sender.send(this.room(roomId), type, content, transaction) };
    };
    this.recovery.notFound = (roomId) => void this.readAgain(roomId).catch(console.warn);
  }

  static async open(identity: Identity, tell: (news: News) => void): Promise<Device> {
    const vault = await vaultOf(identity.userId, identity.deviceId);
    const device = new Device(await Machine.open(identity, vault), tell);
    await device.register();
    await device.verifying.resume(await comparisonsOf(identity.userId, identity.deviceId)).catch(console.warn);
    return device;
  }

  private async register(): Promise<void> {
    const { olm } = this.machine;
    // The library is in the middle of something when it calls: what follows from it is done after that.
    const after = (deed: () => Promise<void>): Promise<void> => {
      setTimeout(() => void deed().catch(console.warn));
      return Promise.resolve();
    };
    olm.registerRoomKeyUpdatedCallback((keys) => {
      const rooms = new Set(keys.map(({ roomId }) => roomId.toString()));
      return after(async () => {
        for (const roomId of rooms) await this.readAgain(roomId);
        await this.recovery.upload();
      });
    });
    olm.registerRoomKeysWithheldCallback((withheld) => {
      const rooms = new Set(withheld.map(({ roomId }) => roomId.toString()));
      return after(async () => {
        for (const roomId of rooms) await this.readAgain(roomId);
      });
    });
    olm.registerUserIdentityUpdatedCallback((userId) => {
      const id = userId.toString();
      return after(() => this.keysChanged([id]));
    });
    olm.registerDevicesUpdatedCallback((userIds) => after(() => this.keysChanged(userIds)));
  }

  /** Hears the news until it is stopped; fails where the account is signed out. */
  async listen(): Promise<void> {
    await listen(this.machine.identity.token, this.stop.signal, (answer) => this.take(answer));
  }

  close(): void {
    this.stop.abort();
    if (this.timer) clearTimeout(this.timer);
    this.machine.close();
  }

  private async take(answer: Answer): Promise<void> {
    const letters = await this.machine.take(answer);
    for (const event of answer.account_data?.events ?? []) this.takeData(event);
    for (const { sender, content } of answer.presence?.events ?? []) {
      if (sender) this.present.set(sender, content.presence === "online");
    }
    const fresh = await this.takeRooms(answer.rooms ?? {});
    const of = friendsIn(answer);
    if (of === null || of.length > 0) this.tell({ kind: "friends", of });
    const isFirst = !this.heard;
    if (isFirst) {
      this.heard = true;
      this.announce();
      this.changed();
      await this.recovery.begin().catch((error: unknown) => console.warn("the person's keys are not ready", error));
      void this.lookAround().catch(console.warn);
    }
    // What could not be sent is sent with the next news: these are here all the same.
    await this.machine.pump().catch(console.warn);
    for (const letter of letters) await this.verifying.hearLetter(letter).catch(console.warn);
    for (const { room, events, gap } of fresh) await this.readNews(room, events, gap && !isFirst, !isFirst);
    await this.recovery.upload().catch(console.warn);
    this.changed();
  }

  private takeData({ type, content }: RawEvent): void {
    if (type !== "m.direct") return;
    this.direct = new Map();
    for (const [userId, rooms] of Object.entries(content)) {
      if (!Array.isArray(rooms)) continue;
      for (const roomId of rooms) this.direct.set(String(roomId), userId);
    }
  }

  private async takeRooms(news: NonNullable<Answer["rooms"]>): Promise<{ room: Room; events: RawEvent[]; gap: boolean }[]> {
    const fresh = [];
    for (const [roomId, part] of Object.entries(news.join ?? {})) {
      const room = this.rooms.get(roomId) ?? new Room(roomId);
      this.rooms.set(roomId, room);
      const old = room.events;
      const wasEncrypted = room.isEncrypted;
      const isNew = old.length === 0;
      const { fresh: events, gap } = room.take(part);
      const kept = new Set(room.events);
      this.reader.forget(old.filter((event) => !kept.has(event)));
      if (isNew || room.isEncrypted !== wasEncrypted) await this.keepEncrypted(room);
      // Whoever is in an encrypted room is watched for new keys.
      const members = events.some(({ type }) => type === "m.room.member") || (!wasEncrypted && room.isEncrypted);
      if (this.heard && room.isEncrypted && members) await this.meet(room);
      fresh.push({ room, events, gap });
    }
    for (const [roomId, { invite_state: state }] of Object.entries(news.invite ?? {})) {
      const room = new Room(roomId);
      room.invited(state?.events ?? [], this.own);
      this.rooms.set(roomId, room);
    }
    for (const roomId of Object.keys(news.leave ?? {})) this.rooms.delete(roomId);
    return fresh;
  }

  /** The store remembers which rooms are encrypted, whatever the node says of them later. */
  private async keepEncrypted(room: Room): Promise<void> {
    const { olm } = this.machine;
    const id = new RoomId(room.roomId);
    if (room.isEncrypted) {
      const settings = new RoomSettings();
      settings.algorithm = EncryptionAlgorithm.MegolmV1AesSha2;
      await olm.setRoomSettings(id, settings).catch(() => {});
    } else if (await (await olm.getRoomSettings(id))) {
      room.apply({ type: "m.room.encryption", state_key: "", content: { algorithm: MEGOLM } });
    }
  }

  /** Looks, room by room, who is in those that are encrypted; the news go on meanwhile. */
  private async lookAround(): Promise<void> {
    for (const room of [...this.rooms.values()].slice(0, MOST_ROOMS)) {
      if (room.isEncrypted && room.membership === "join") await this.meet(room);
    }
    await this.lookAtSignIns();
  }

  private async meet(room: Room): Promise<void> {
    await this.sender.loadMembers(room);
    const ids = room.withMembership(["join", "invite"]).map((userId) => new UserId(userId));
    await this.machine.olm.updateTrackedUsers(ids);
    await this.machine.pump();
    this.peopleOf.set(room.roomId, await this.people.of(room));
    this.changed();
  }

  private async keysChanged(userIds: readonly string[]): Promise<void> {
    for (const userId of userIds) this.people.forget(userId);
    for (const room of this.rooms.values()) {
      const touched = this.peopleOf.has(room.roomId) && userIds.some((userId) => room.members.has(userId));
      if (!touched) continue;
      this.peopleOf.set(room.roomId, await this.people.of(room));
      // Who wrote something may be certain now.
      await this.readAgain(room.roomId);
    }
    if (userIds.includes(this.own) && this.heard) {
      await this.recovery.look();
      await this.lookAtSignIns();
    }
    this.changed();
  }

  private async lookAtSignIns(): Promise<void> {
    const devices = this.recovery.own.trust === "verified" ? await this.people.ownDevices() : [];
    this.signIns = devices.filter(({ isThis, verified, hasKeys }) => !isThis && !verified && hasKeys);
    this.changed();
  }

  private async verified(userId: string): Promise<void> {
    if (userId === this.own) await this.recovery.verified();
    await this.machine.pump();
    await this.keysChanged([userId]);
    for (const { roomId } of this.rooms.values()) await this.readAgain(roomId);
  }

  /** Reads what is new; of comparisons that the page hears of when it opens, those that stand are taken up. */
  private async readNews(room: Room, events: readonly RawEvent[], gap: boolean, live: boolean): Promise<void> {
    const said: Said[] = [];
    const clear: RawEvent[] = [];
    let talk = events.length > 0 && live;
    for (const event of events) {
      const reading = await this.reader.read(room, event);
      if (reading.said) said.push(reading.said);
      clear.push(reading.clear);
      talk &&= isTalk(reading.clear);
      if (reading.said?.kind === "redacted") this.reader.redact(reading.said.eventId);
      if (live) await this.verifying.hearEvent(room, reading.clear).catch(console.warn);
    }
    // The news go on meanwhile: what is to be said of them may need keys that come with the next ones.
    if (!live) void this.verifying.hearPast(room, clear).catch(console.warn);
    if (said.length > 0 || gap) this.tell({ kind: "said", roomId: room.roomId, said, reset: gap });
    // The node counts what devices say to each other as messages.
    if (talk && !room.hadUnread) await this.read(room.roomId).catch(console.warn);
  }

  private async readAgain(roomId: string): Promise<void> {
    const room = this.rooms.get(roomId);
    if (!room) return;
    const said = await this.reader.readAgain(room);
    if (said.length === 0) return;
    this.tell({ kind: "said", roomId, said, reset: false });
    this.changed();
  }

  /** Tells pages how everything is, soon. */
  private changed(): void {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      void this.overview().then((overview) => this.tell({ kind: "overview", overview }));
    }, GATHER_MS);
  }

  private get own(): string {
    return this.machine.identity.userId;
  }

  private async overview(): Promise<Overview> {
    const conversations: Conversation[] = [];
    for (const room of this.rooms.values()) {
      if (!room.isSpace) conversations.push(await this.conversation(room));
    }
    const newest = ({ last }: Conversation): number => last?.timeMs ?? 0;
    conversations.sort((a, b) => newest(b) - newest(a));
    return {
      phase: this.heard ? "ready" : "opening",
      own: { ...this.recovery.own },
      conversations,
      flows: this.verifying.flows(),
      signIns: this.signIns,
      toConfirm: this.recovery.toConfirm,
    };
  }

  private async conversation(room: Room): Promise<Conversation> {
    const { roomId, membership, unread } = room;
    const isInvite = membership === "invite";
    const direct = this.direct.get(roomId) ?? (isInvite && room.invitedDirectly ? room.inviter : null);
    const people = this.peopleOf.get(roomId) ?? [];
    const mayEncrypt = !isInvite && !room.isEncrypted && !room.isOpen && room.may(this.own, "m.room.encryption");
    return {
      roomId,
      kind: room.isWorld ? "world" : direct ? "direct" : "room",
      membership,
      name: (direct && room.others(this.own).length <= 1 ? this.nameIn(room, direct) : room.title(this.own)) || roomId,
      other: direct ?? room.inviter,
      online: direct ? (this.present.get(direct) ?? null) : null,
      unread,
      last: await this.last(room),
      shield: shieldOf(room, people, room.others(this.own).length),
      people: room.isEncrypted ? people : [],
      mayEncrypt,
      asksFriend: isInvite && room.asksFriend,
      worldServer: isInvite ? room.worldServer : null,
    };
  }

  private nameIn(room: Room, userId: string): string {
    return room.members.get(userId)?.name ?? this.nameOf(userId);
  }

  private async last(room: Room): Promise<Conversation["last"]> {
    for (const event of room.events.toReversed()) {
      const { said } = await this.reader.read(room, event);
      if (said?.kind !== "message" && said?.kind !== "unreadable") continue;
      const { sender, timeMs } = said;
      const body = said.kind === "message" ? said.body : "";
      return { sender, name: room.nameOf(sender), body: body.slice(0, 200), timeMs };
    }
    return null;
  }

  private nameOf(userId: string): string {
    for (const { members } of this.rooms.values()) {
      const member = members.get(userId);
      if (member) return member.name;
    }
    return localpart(userId);
  }

  private room(roomId: string): Room {
    const room = this.rooms.get(roomId);
    if (!room) throw new DeviceError("unknown_room");
    return room;
  }

  /** Answers what a page asks. */
  readonly answers: Answering = {
    hello: () => this.overview(),
    open: (roomId) => this.open(roomId),
    older: (roomId) => this.older(roomId),
    send: async (roomId, body, transaction) => {
      // Whoever has just come in waits until it is known how the room is kept.
      await this.arrival(roomId);
      return this.sender.send(this.room(roomId), "m.room.message", { msgtype: "m.text", body }, transaction);
    },
    read: (roomId) => this.read(roomId),
    direct: (userId) => this.directWith(userId),
    answer: (roomId, accept) => this.answer(roomId, accept),
    leave: (roomId) => this.leave(roomId),
    encrypt: (roomId) => this.encrypt(roomId),
    verifyPerson: (userId) => this.verifying.askPerson(userId),
    verifyDevice: (deviceId) => this.verifying.askDevice(deviceId),
    acceptFlow: (id) => this.verifying.accept(id),
    compareFlow: (id) => this.verifying.compare(id),
    matchFlow: (id, same) => this.verifying.match(id, same),
    cancelFlow: (id) => this.verifying.cancel(id),
    dismissFlow: async (id) => this.verifying.dismiss(id),
    acceptChange: (userId) => this.acceptChange(userId),
    newRecoveryKey: async () => this.recovery.draft(),
    saveRecovery: (key) => this.recovery.save(key),
    restore: (key) => this.restore(key),
    reset: (proof) => this.reset(proof),
    devices: () => this.people.ownDevices(),
    removeDevice: (deviceId, proof) => this.removeDevice(deviceId, proof),
    confirmed: async (session, done) => this.recovery.confirmed(session, done),
  };

  private async open(roomId: string): Promise<Page> {
    const room = this.room(roomId);
    if (room.isEncrypted && !this.peopleOf.has(roomId)) await this.meet(room);
    if (room.events.length < PAGE && room.before !== null) await this.older(roomId);
    return this.page(room, room.events);
  }

  private async older(roomId: string): Promise<Page> {
    const room = this.room(roomId);
    if (room.before === null) return { said: [], more: false };
    const asked = new URLSearchParams({ dir: "b", limit: String(PAGE), from: room.before });
    const path = `${CLIENT}/rooms/${encodeURIComponent(roomId)}/messages?${asked}`;
    const { token } = this.machine.identity;
    const page = await ask<{ chunk?: RawEvent[]; state?: RawEvent[]; end?: string }>("GET", path, { token });
    const events = (page.chunk ?? []).reverse();
    for (const event of page.state ?? []) {
      // What is known of members by now is newer.
      if (!room.members.has(event.state_key ?? "")) room.apply(event);
    }
    room.before = page.end ?? null;
    room.events = [...events, ...room.events];
    return this.page(room, events);
  }

  private async page(room: Room, events: readonly RawEvent[]): Promise<Page> {
    const said: Said[] = [...room.members].map(([userId, { name }]) => ({ kind: "named", userId, name }));
    for (const event of events) {
      const reading = await this.reader.read(room, event);
      if (reading.said && reading.said.kind !== "named") said.push(reading.said);
    }
    return { said, more: room.before !== null };
  }

  private async post(path: string, body: object = {}, method = "POST"): Promise<Record<string, unknown>> {
    return ask(method, `${CLIENT}${path}`, { body, token: this.machine.identity.token });
  }

  private async read(roomId: string): Promise<void> {
    const room = this.room(roomId);
    const newest = room.events.findLast(({ event_id: id }) => id !== undefined)?.event_id;
    if (newest === undefined || room.membership !== "join") return;
    room.unread = 0;
    this.changed();
    await this.post(`/rooms/${encodeURIComponent(roomId)}/receipt/m.read/${encodeURIComponent(newest)}`);
  }

  /** The conversation with somebody: the one that there is, or a new one, encrypted from the start. */
  private async directWith(userId: string): Promise<string> {
    if (!ADDRESS.test(userId) || userId === this.own) throw new DeviceError("no_address");
    for (const [roomId, other] of this.direct) {
      const room = this.rooms.get(roomId);
      if (other !== userId || room?.membership !== "join") continue;
      if (room.isEncrypted) await this.sender.loadMembers(room);
      const { membership } = room.members.get(userId) ?? { membership: "join" };
      if (membership === "join" || membership === "invite") return roomId;
    }
    for (const { roomId, membership, inviter, invitedDirectly } of this.rooms.values()) {
      if (membership !== "invite" || inviter !== userId || !invitedDirectly) continue;
      await this.answer(roomId, true);
      return roomId;
    }
    const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: MEGOLM } };
    const made = await this.met(userId, async () => {
      // Whoever has mistyped an address would talk to nobody.
      await ask("GET", `${CLIENT}/profile/${encodeURIComponent(userId)}`, { token: this.machine.identity.token });
      const invite = [userId];
      return this.post("/createRoom", { preset: "trusted_private_chat", is_direct: true, invite, initial_state: [encryption] });
    });
    const roomId = String(made.room_id);
    await this.noteDirect(roomId, userId);
    await this.arrival(roomId);
    return roomId;
  }

  /** What the node says of an address that leads to nobody is not for whoever typed it. */
  private async met<T>(userId: string, deed: () => Promise<T>): Promise<T> {
    try {
      return await deed();
    } catch (error) {
      const isNobody = error instanceof ApiError && ["M_BAD_JSON", "M_INVALID_PARAM", "M_NOT_FOUND"].includes(error.code);
      throw isNobody ? new DeviceError("nobody", userId) : error;
    }
  }

  /** Notes for all of the person's devices whom a conversation is with. */
  private async noteDirect(roomId: string, userId: string): Promise<void> {
    const path = `/user/${encodeURIComponent(this.own)}/account_data/m.direct`;
    const { token } = this.machine.identity;
    const kept = await ask<Record<string, string[]>>("GET", `${CLIENT}${path}`, { token }).catch(
      (error: { status?: number }) => {
        if (error.status === 404) return {} as Record<string, string[]>;
        throw error;
      },
    );
    const rooms = kept[userId] ?? [];
    if (!rooms.includes(roomId)) await this.post(path, { ...kept, [userId]: [...rooms, roomId] }, "PUT");
    this.direct.set(roomId, userId);
  }

  /** Waits until the news have told of a room that the person has just come into. */
  private async arrival(roomId: string): Promise<void> {
    const until = Date.now() + 20_000;
    while (this.rooms.get(roomId)?.membership !== "join") {
      if (Date.now() > until) throw new DeviceError("silent");
      await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
    }
  }

  private async answer(roomId: string, accept: boolean): Promise<void> {
    const room = this.room(roomId);
    const { inviter, invitedDirectly } = room;
    if (!accept) {
      await this.leave(roomId);
      return;
    }
    await this.post(`/rooms/${encodeURIComponent(roomId)}/join`);
    if (inviter !== null && invitedDirectly) await this.noteDirect(roomId, inviter);
    await this.arrival(roomId);
  }

  private async leave(roomId: string): Promise<void> {
    await this.post(`/rooms/${encodeURIComponent(roomId)}/leave`);
    this.rooms.delete(roomId);
    this.changed();
  }

  private async encrypt(roomId: string): Promise<void> {
    const path = `/rooms/${encodeURIComponent(roomId)}/state/m.room.encryption/`;
    await this.post(path, { algorithm: MEGOLM }, "PUT");
    const room = this.room(roomId);
    room.apply({ type: "m.room.encryption", state_key: "", content: { algorithm: MEGOLM } });
    await this.keepEncrypted(room);
    await this.meet(room);
  }

  /** Goes on with somebody whose keys have changed, as with somebody who was never verified. */
  private async acceptChange(userId: string): Promise<void> {
    await (await this.machine.olm.getIdentity(new UserId(userId)))?.withdrawVerification();
    await this.keysChanged([userId]);
  }

  private async restore(key: string): Promise<void> {
    await this.recovery.restore(key);
    await this.verified(this.own);
  }

  private async reset(proof: Proof): Promise<void> {
    await this.recovery.reset(proof);
    await this.keysChanged([this.own]);
  }

  private async removeDevice(deviceId: string, proof: Proof): Promise<void> {
    const path = `${CLIENT}/devices/${encodeURIComponent(deviceId)}`;
    const { token } = this.machine.identity;
    await this.recovery.prove(proof, (body) => ask("DELETE", path, { body, token }));
    await this.machine.olm.markAllTrackedUsersAsDirty();
    await this.machine.pump();
    await this.lookAtSignIns();
  }

  private async askInRoom(userId: string, content: object): Promise<{ roomId: string; eventId: string }> {
    const roomId = await this.directWith(userId);
    const transaction = crypto.randomUUID();
    const eventId = await this.sender.send(this.room(roomId), "m.room.message", content, transaction);
    return { roomId, eventId };
  }
}
