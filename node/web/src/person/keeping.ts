// What this browser keeps of one person, and how nothing of it is left when they sign out.
import { type DeviceKey, deviceKeyOf, forgetDeviceKey, freshDeviceKey, keepDeviceKey, type KeyStore } from "../identity/device";
import { type PersonStore, sealed, type Secrets, unsealed } from "./store";

export class Keeping {
  #left = false;

  constructor(
    private readonly userId: string,
    private readonly store: PersonStore,
    /** Where keys of devices are kept, if not in the browser's database. */
    private readonly devices?: KeyStore,
  ) {}

  async secrets(): Promise<Secrets | null> {
    const kept = await this.store.secrets(this.userId);
    return kept ? unsealed(kept) : null;
  }

  async keep(secrets: Secrets): Promise<void> {
    // What was still under way when somebody signed out keeps nothing.
    if (this.#left) return;
    await this.store.keep(await sealed(this.userId, secrets));
  }

  /** The key of this browser for a person, or null where it has none. */
  device(did: string): Promise<DeviceKey | null> {
    return deviceKeyOf(did, this.devices);
  }

  /** The same, made where there is none: it is kept before anybody hears of it. */
  async deviceFor(did: string, fresh?: DeviceKey): Promise<DeviceKey> {
    const known = fresh ? null : await this.device(did);
    return known ?? keepDeviceKey(did, fresh ?? (await freshDeviceKey()), this.devices);
  }

  forgetDevice(did: string): Promise<void> {
    return forgetDeviceKey(did, this.devices);
  }

  /** Forgets the secrets, and the keys of this browser that belong to them. */
  async drop(known?: string): Promise<void> {
    const secrets = await this.secrets();
    const dids = [secrets?.did ?? known, secrets?.moving?.did];
    for (const did of dids) if (did !== undefined) await this.forgetDevice(did);
    await this.store.forget(this.userId);
  }

  /** Leaves nothing of it in this browser. */
  async leave(known?: string): Promise<void> {
    this.#left = true;
    await this.drop(known);
  }
}
