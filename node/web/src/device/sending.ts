// Sends to rooms: encrypted wherever a room is, and not at all where that is not known.
import {
  CollectStrategy,
  EncryptionAlgorithm,
  EncryptionSettings,
  HistoryVisibility,
  RoomId,
  UserId,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import { ApiError, ask } from "../api/http";
import { DeviceError } from "./errors";
import { CLIENT, type Machine } from "./machine";
import type { Room } from "./rooms";
import type { RawEvent } from "./sync";

const VISIBILITY: Record<string, HistoryVisibility> = {
  invited: HistoryVisibility.Invited,
  joined: HistoryVisibility.Joined,
  shared: HistoryVisibility.Shared,
  world_readable: HistoryVisibility.WorldReadable,
};

export class Sender {
  /** The last thing on its way to each room: the next one waits for it. */
  private readonly lines = new Map<string, Promise<unknown>>();

  constructor(
    private readonly machine: Machine,
    /** Told of a room that is found to be encrypted just before something is sent. */
    private readonly sealed: (room: Room) => Promise<void>,
  ) {}

  /** Sends an event and returns its id; things for one room go one after the other. */
  send(room: Room, type: string, content: object, transaction: string): Promise<string> {
    const before = this.lines.get(room.roomId) ?? Promise.resolve();
    const sent = before.catch(() => {}).then(() => this.sendNow(room, type, content, transaction));
    this.lines.set(room.roomId, sent);
    return sent;
  }

  private async sendNow(room: Room, type: string, content: object, transaction: string): Promise<string> {
    if (room.membership !== "join") throw new DeviceError("unknown_room");
    if (!room.isEncrypted) await this.lookWhetherEncrypted(room);
    if (!room.isEncrypted) return this.put(room, type, content, transaction);
    await this.share(room);
    const sealed = await this.machine.olm.encryptRoomEvent(new RoomId(room.roomId), type, JSON.stringify(content));
    return this.put(room, "m.room.encrypted", JSON.parse(sealed) as object, transaction);
  }

  private async put(room: Room, type: string, content: object, transaction: string): Promise<string> {
    const path = `${CLIENT}/rooms/${encodeURIComponent(room.roomId)}/send/${type}/${encodeURIComponent(transaction)}`;
    const { token } = this.machine.identity;
    return (await ask<{ event_id: string }>("PUT", path, { body: content, token })).event_id;
  }

  /** Encryption may have been switched on a moment ago: nothing goes in the clear on old news. */
  private async lookWhetherEncrypted(room: Room): Promise<void> {
    const { token } = this.machine.identity;
    const path = `${CLIENT}/rooms/${encodeURIComponent(room.roomId)}/state/m.room.encryption/`;
    try {
      const content = await ask<Record<string, unknown>>("GET", path, { token });
      const event: RawEvent = { type: "m.room.encryption", state_key: "", content };
      room.apply(event);
      await this.sealed(room);
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) throw error;
    }
  }

  /** Sees to it that everybody who may read has the key of the room. */
  private async share(room: Room): Promise<void> {
    const { machine } = this;
    await this.loadMembers(room);
    const mayRead = room.historyVisibility === "joined" ? ["join"] : ["join", "invite"];
    const readers = room.withMembership(mayRead);
    const ids = (): UserId[] => readers.map((userId) => new UserId(userId));
    await machine.olm.updateTrackedUsers(ids());
    await machine.pump();
    for (const userId of readers) {
      const identity = await machine.olm.getIdentity(new UserId(userId));
      if (identity?.hasVerificationViolation()) throw new DeviceError("identity_changed", userId);
    }
    const claim = await machine.olm.getMissingSessions(ids());
    if (claim) await machine.send(claim);
    const shared = await machine.olm.shareRoomKey(new RoomId(room.roomId), ids(), settingsOf(room));
    for (const request of shared) await machine.send(request);
  }

  /** Asks who is in a room, once. */
  async loadMembers(room: Room): Promise<void> {
    if (room.membersKnown) return;
    const path = `${CLIENT}/rooms/${encodeURIComponent(room.roomId)}/members?not_membership=leave`;
    const { token } = this.machine.identity;
    const { chunk } = await ask<{ chunk: RawEvent[] }>("GET", path, { token });
    // Whoever came or went meanwhile is heard of by the news, which are newer than this.
    for (const event of chunk) if (!room.members.has(event.state_key ?? "")) room.apply(event);
    room.membersKnown = true;
  }
}

function settingsOf(room: Room): EncryptionSettings {
  const settings = new EncryptionSettings();
  const { rotation_period_ms: periodMs, rotation_period_msgs: messages } = room.encryption;
  settings.algorithm = EncryptionAlgorithm.MegolmV1AesSha2;
  // The library counts in microseconds.
  if (isCount(periodMs)) settings.rotationPeriod = BigInt(periodMs) * 1000n;
  if (isCount(messages)) settings.rotationPeriodMessages = BigInt(messages);
  settings.historyVisibility = VISIBILITY[room.historyVisibility] ?? HistoryVisibility.Shared;
  settings.sharingStrategy = CollectStrategy.allDevices();
  return settings;
}

/** Whoever may encrypt a room writes these, and may write anything. */
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}
