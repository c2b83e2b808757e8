// What is known of the keys of people: of those in a conversation, and of one's own devices.
import { DeviceId, UserId } from "@matrix-org/matrix-sdk-crypto-wasm";
import { ask } from "../api/http";
import { CLIENT, type Machine } from "./machine";
import type { OwnDevice, Person, Shield } from "./protocol";
import type { Room } from "./rooms";

/** In a larger crowd nobody looks whether everybody is verified. */
const MOST_PEOPLE = 60;

interface DeviceRow {
  device_id: string;
  display_name?: string;
  last_seen_ts?: number;
}

export class People {
  private readonly known = new Map<string, Person["trust"]>();

  constructor(private readonly machine: Machine) {}

  /** Looks anew at somebody the next time. */
  forget(userId: string): void {
    this.known.delete(userId);
  }

  /** Everybody else of a conversation, with what is known of their keys. */
  async of(room: Room): Promise<Person[]> {
    const others = room.others(this.machine.identity.userId).slice(0, MOST_PEOPLE);
    const people: Person[] = [];
    for (const userId of others) people.push({ userId, name: room.nameOf(userId), trust: await this.trust(userId) });
    return people;
  }

  private async trust(userId: string): Promise<Person["trust"]> {
    const known = this.known.get(userId);
    if (known) return known;
    const { olm } = this.machine;
    const identity = await olm.getIdentity(new UserId(userId));
    const devices = (await olm.getUserDevices(new UserId(userId))).devices();
    const trust =
      devices.length === 0
        ? "no_keys"
        : identity?.hasVerificationViolation()
          ? "changed"
          : identity?.isVerified() && devices.every((device) => device.isCrossSignedByOwner())
            ? "verified"
            : "unverified";
    this.known.set(userId, trust);
    return trust;
  }

  /** All devices of the person, this one first. */
  async ownDevices(): Promise<OwnDevice[]> {
    const { olm, identity } = this.machine;
    const { userId, deviceId: own, token } = identity;
    const { devices } = await ask<{ devices: DeviceRow[] }>("GET", `${CLIENT}/devices`, { token });
    const rows: OwnDevice[] = [];
    for (const { device_id: deviceId, display_name: name, last_seen_ts: seenMs } of devices) {
      const device = await olm.getDevice(new UserId(userId), new DeviceId(deviceId));
      rows.push({
        deviceId,
        name: name ?? deviceId,
        seenMs: seenMs ?? null,
        isThis: deviceId === own,
        verified: device?.isCrossSignedByOwner() === true,
        hasKeys: device !== undefined,
      });
    }
    return rows.sort((a, b) => Number(b.isThis) - Number(a.isThis) || (b.seenMs ?? 0) - (a.seenMs ?? 0));
  }
}

/** What the keys of people mean for what is said among them. */
export function shieldOf(room: Room, people: readonly Person[], total: number): Shield {
  if (!room.isEncrypted) return room.isOpen ? "open" : "plain";
  if (people.some(({ trust }) => trust === "changed")) return "changed";
  const readers = people.filter(({ trust }) => trust !== "no_keys");
  const all = room.membersKnown && people.length === total && readers.length > 0;
  return all && readers.every(({ trust }) => trust === "verified") ? "verified" : "encrypted";
}
