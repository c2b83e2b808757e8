// The library that encrypts, and the requests to the node by which it comes to know other devices.
import {
  DecryptionSettings,
  DeviceId,
  DeviceLists,
  type DecryptedRoomEvent,
  initAsync,
  type KeysBackupRequest,
  type KeysClaimRequest,
  type KeysQueryRequest,
  type KeysUploadRequest,
  OlmMachine,
  RequestType,
  RoomId,
  type RoomMessageRequest,
  type SignatureUploadRequest,
  StoreHandle,
  type ToDeviceRequest,
  TrustRequirement,
  UserId,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import { ask } from "../api/http";
import type { Identity } from "./protocol";
import type { Answer, RawEvent } from "./sync";
import type { Vault } from "./vault";

export type AnyRequest =
  | KeysUploadRequest
  | KeysQueryRequest
  | KeysClaimRequest
  | ToDeviceRequest
  | SignatureUploadRequest
  | RoomMessageRequest
  | KeysBackupRequest;

export const CLIENT = "/_matrix/client/v3";
/** Keys of others may be slow to come from other nodes. */
const KEYS_MS = 45_000;

/** The keys of this device on the node are not those of the store: the store was lost, or another's. */
export class LostKeys extends Error {
  override name = "LostKeys";
}

export class Machine {
  /** Sends what goes to a room; set by who knows rooms. */
  toRoom: (request: RoomMessageRequest) => Promise<{ event_id: string }> = () => Promise.reject(new Error("no rooms yet"));
  private pumping: Promise<void> | null = null;
  private again = false;
  /** Messages to rooms that are on their way. */
  private readonly aside = new Set<string>();

  private constructor(
    readonly olm: OlmMachine,
    readonly identity: Identity,
  ) {}

  static async open(identity: Identity, vault: Vault): Promise<Machine> {
    const { userId, deviceId } = identity;
    await initAsync();
    let olm: OlmMachine;
    try {
      const store = await StoreHandle.openWithKey(vault.store, vault.key);
      olm = await OlmMachine.initFromStore(new UserId(userId), new DeviceId(deviceId), store);
    } catch (error) {
      throw new LostKeys("the store of the device cannot be opened", { cause: error });
    }
    const machine = new Machine(olm, identity);
    try {
      await machine.checkOwn();
    } catch (error) {
      olm.close();
      throw error;
    }
    return machine;
  }

  /** Fails where the node knows this device under keys that are not here. */
  private async checkOwn(): Promise<void> {
    const { userId, deviceId, token } = this.identity;
    const body = { device_keys: { [userId]: [deviceId] } };
    const shown = await ask<{ device_keys?: Record<string, Record<string, { keys?: Record<string, string> }>> }>(
      "POST",
      `${CLIENT}/keys/query`,
      { body, token },
    );
    const known = shown.device_keys?.[userId]?.[deviceId]?.keys?.[`ed25519:${deviceId}`];
    if (known !== undefined && known !== this.olm.identityKeys.ed25519.toBase64()) {
      throw new LostKeys("the node knows this device under other keys");
    }
  }

  /** Takes in what concerns keys; returns the messages to this device, opened. */
  async take(answer: Answer): Promise<RawEvent[]> {
    const { changed = [], left = [] } = answer.device_lists ?? {};
    const ids = (users: string[]): UserId[] => users.map((user) => new UserId(user));
    const counts = new Map(Object.entries(answer.device_one_time_keys_count ?? {}));
    const fallback = new Set(answer.device_unused_fallback_key_types ?? []);
    const letters = JSON.stringify(answer.to_device?.events ?? []);
    const lists = new DeviceLists(ids(changed), ids(left));
    const taken = await this.olm.receiveSyncChanges(letters, lists, counts, fallback, readAll());
    return taken.map(({ rawEvent }) => JSON.parse(rawEvent) as RawEvent);
  }

  /** Takes letters in once more that could not be understood before something else was known. */
  async hearAgain(letters: readonly RawEvent[]): Promise<void> {
    await this.olm.receiveSyncChanges(JSON.stringify(letters), new DeviceLists(), new Map(), undefined, readAll());
  }

  decrypt(event: RawEvent, roomId: string): Promise<DecryptedRoomEvent> {
    return this.olm.decryptRoomEvent(JSON.stringify(event), new RoomId(roomId), readAll());
  }

  /** Sends all that the library wants to be sent, one run at a time. */
  pump(): Promise<void> {
    this.again = true;
    this.pumping ??= this.pumpAll().finally(() => {
      this.pumping = null;
    });
    return this.pumping;
  }

  private async pumpAll(): Promise<void> {
    while (this.again) {
      this.again = false;
      for (const request of await this.olm.outgoingRequests()) {
        if (request.type === RequestType.RoomMessage) this.sendAside(request);
        else await this.send(request);
      }
    }
  }

  /** What goes to a room needs keys that this very pump may have to send for: it is not waited for. */
  private sendAside(request: AnyRequest): void {
    const id = request.id ?? "";
    if (this.aside.has(id)) return;
    this.aside.add(id);
    const done = this.send(request).catch((error: unknown) => console.warn("a room could not be told", error));
    void done.finally(() => this.aside.delete(id));
  }

  /** Sends one request, and lets the library know what the node said. */
  async send(request: AnyRequest): Promise<void> {
    const answer = await this.carry(request);
    if (request.id !== undefined) await this.olm.markRequestAsSent(request.id, request.type, JSON.stringify(answer));
  }

  /** Says something to a device of somebody, or to all of them, in the clear. */
  async tell(type: string, userId: string, deviceId: string | null, content: object): Promise<void> {
    const path = `${CLIENT}/sendToDevice/${encodeURIComponent(type)}/${crypto.randomUUID()}`;
    const body = { messages: { [userId]: { [deviceId ?? "*"]: content } } };
    await ask("PUT", path, { body, token: this.identity.token });
  }

  private carry(request: AnyRequest): Promise<object> {
    const { token } = this.identity;
    const put = (method: string, path: string): Promise<object> =>
      ask(method, `${CLIENT}${path}`, { body: JSON.parse(request.body) as object, token, timeoutMs: KEYS_MS });
    switch (request.type) {
      case RequestType.KeysUpload:
        return put("POST", "/keys/upload");
      case RequestType.KeysQuery:
        return put("POST", "/keys/query");
      case RequestType.KeysClaim:
        return put("POST", "/keys/claim");
      case RequestType.SignatureUpload:
        return put("POST", "/keys/signatures/upload");
      case RequestType.KeysBackup: {
        const { version } = request as KeysBackupRequest;
        return put("PUT", `/room_keys/keys?version=${encodeURIComponent(version)}`);
      }
      case RequestType.ToDevice: {
        const { event_type: type, txn_id: transaction } = request as ToDeviceRequest;
        return put("PUT", `/sendToDevice/${encodeURIComponent(type)}/${encodeURIComponent(transaction)}`);
      }
      default:
        return this.toRoom(request as RoomMessageRequest);
    }
  }

  close(): void {
    this.olm.close();
  }
}

/** Whoever wrote something is judged where it is shown: nothing is kept from the person. */
function readAll(): DecryptionSettings {
  return new DecryptionSettings(TrustRequirement.Untrusted);
}
