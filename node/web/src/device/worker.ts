// Works off the page: of all pages of an account one holds the device, and all of them speak with that one.
import { ApiError } from "../api/http";
import { Device } from "./device";
import { DeviceError, faultOf } from "./errors";
import { LostKeys } from "./machine";
import { type Calls, channelOf, type Identity, type Letter, type News, type Overview, type Phase } from "./protocol";
import { eraseOthers, forgetKey } from "./vault";

/** Holds the device for as long as its page is open. */
class Keeper {
  private readonly channel: BroadcastChannel;
  private device: Device | null = null;
  private phase: Phase = "opening";
  private readonly opened: Promise<Device>;
  private over: () => void = () => {};

  constructor(private readonly identity: Identity) {
    this.channel = new BroadcastChannel(channelOf(identity));
    this.channel.onmessage = ({ data }: MessageEvent<Letter>) => {
      if (data.to === "device") void this.hear(data);
    };
    this.post({ to: "pages", begins: true });
    this.opened = this.open();
  }

  /** Until the device is gone. */
  async work(): Promise<void> {
    const gone = new Promise<void>((resolve) => {
      this.over = resolve;
    });
    try {
      const device = await this.opened;
      await Promise.race([device.listen(), gone]);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) await this.erase();
      else this.fail(error);
    }
    await gone;
  }

  private async open(): Promise<Device> {
    const { userId, deviceId } = this.identity;
    await eraseOthers(userId, deviceId);
    this.device = await Device.open(this.identity, (news) => this.tell(news));
    return this.device;
  }

  private fail(error: unknown): void {
    console.warn("the device does not work", error);
    this.phase = error instanceof LostKeys ? "lost" : "failed";
    this.tell({ kind: "overview", overview: this.blank() });
  }

  private blank(): Overview {
    const { userId, deviceId } = this.identity;
    const own = { userId, deviceId, trust: "unknown", recovery: "unknown", backup: false } as const;
    return { phase: this.phase, own, conversations: [], flows: [], signIns: [], toConfirm: null };
  }

  private async hear({ id, call, args }: Extract<Letter, { to: "device" }>): Promise<void> {
    try {
      this.post({ to: "page", id, value: await this.answer(call, args) });
    } catch (error) {
      this.post({ to: "page", id, fault: faultOf(error) });
      if (error instanceof WebAssembly.RuntimeError) this.fail(error);
    }
  }

  private async answer(call: keyof Calls, args: unknown[]): Promise<unknown> {
    if (call === "erase") return this.erase();
    if (call === "hello" && !this.device) return this.blank();
    if (this.phase !== "opening") throw new DeviceError("silent");
    const device = await this.opened;
    if (call !== "hello") await device.ready;
    const answering = device.answers[call] as ((...args: unknown[]) => Promise<unknown>) | undefined;
    return answering?.(...args);
  }

  private async erase(): Promise<void> {
    const { userId, deviceId } = this.identity;
    this.phase = "lost";
    this.device?.close();
    this.device = null;
    await forgetKey(userId, deviceId);
    this.tell({ kind: "gone" });
    // The library lets its store go only when it ends itself; pages delete the store after that.
    setTimeout(() => {
      this.over();
      self.close();
    });
  }

  private tell(news: News): void {
    this.post({ to: "pages", news });
  }

  private post(letter: Letter): void {
    this.channel.postMessage(letter);
  }
}

self.addEventListener(
  "message",
  ({ data }: MessageEvent<Identity>) => {
    // Two that write to one store would break it: whoever has the lock works, and the others wait for it.
    void navigator.locks.request(channelOf(data), () => new Keeper(data).work());
  },
  { once: true },
);
