// A page's end of the channel to the device, whichever page holds it.
import { errorOf, DeviceError } from "./errors";
import type { Said } from "../api/chat";
import { type CallName, type Calls, channelOf, CONFIRM_MS, type Identity, type Letter, type News, type Overview } from "./protocol";

/** Keys may have to be fetched from other nodes before something is sent. */
const ANSWER_MS = 90_000;
/** A page that holds the device and says nothing for so long has been put to sleep. */
const SILENT_MS = 15_000;

interface Waiting {
  answered: (value: unknown) => void;
  failed: (error: Error) => void;
  timer: ReturnType<typeof setTimeout>;
}

export interface Listener {
  overview(overview: Overview): void;
  said(roomId: string, said: Said[], reset: boolean): void;
  /** Something about friends is new. */
  friends(of: readonly string[] | null): void;
  /** The account is signed out. */
  gone(): void;
  /** Another page holds the device and does not answer, or does again. */
  silent(yes: boolean): void;
}

export class DeviceLink {
  private readonly channel: BroadcastChannel;
  private readonly worker: Worker;
  private readonly waiting = new Map<string, Waiting>();
  private readonly watch: ReturnType<typeof setTimeout>;

  constructor(
    readonly identity: Identity,
    private readonly listener: Listener,
  ) {
    this.channel = new BroadcastChannel(channelOf(identity));
    this.channel.onmessage = ({ data }: MessageEvent<Letter>) => this.hear(data);
    this.worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "device" });
    this.worker.postMessage(identity);
    this.watch = setTimeout(() => listener.silent(true), SILENT_MS);
    this.greet();
  }

  /** Asks how everything is; whoever begins to hold the device is asked again. */
  private greet(): void {
    this.call("hello").then(
      (overview) => this.listener.overview(overview),
      () => {},
    );
  }

  call<K extends CallName>(call: K, ...args: Parameters<Calls[K]>): Promise<ReturnType<Calls[K]>> {
    const id = crypto.randomUUID();
    return new Promise((resolve, reject) => {
      const failed = (error: Error): void => {
        this.waiting.delete(id);
        reject(error);
      };
      const patience = args.some((it) => it === "page") ? CONFIRM_MS + ANSWER_MS : ANSWER_MS;
      const timer = setTimeout(() => failed(new DeviceError("silent")), patience);
      const answered = resolve as (value: unknown) => void;
      this.waiting.set(id, { answered, failed, timer });
      const letter: Letter = { to: "device", id, call, args };
      this.channel.postMessage(letter);
    });
  }

  private hear(letter: Letter): void {
    if (letter.to === "device") return;
    clearTimeout(this.watch);
    this.listener.silent(false);
    if (letter.to === "page") {
      const waiting = this.waiting.get(letter.id);
      if (!waiting) return;
      clearTimeout(waiting.timer);
      this.waiting.delete(letter.id);
      if ("fault" in letter) waiting.failed(errorOf(letter.fault));
      else waiting.answered(letter.value);
    } else if ("begins" in letter) {
      for (const { failed, timer } of this.waiting.values()) {
        clearTimeout(timer);
        failed(new DeviceError("moved"));
      }
      this.greet();
    } else this.news(letter.news);
  }

  private news(news: News): void {
    if (news.kind === "overview") this.listener.overview(news.overview);
    else if (news.kind === "said") this.listener.said(news.roomId, news.said, news.reset);
    else if (news.kind === "friends") this.listener.friends(news.of);
    else this.listener.gone();
  }

  /** Lets go: another page takes the device over, where there is one. */
  close(): void {
    clearTimeout(this.watch);
    this.channel.close();
    this.worker.terminate();
    for (const { timer } of this.waiting.values()) clearTimeout(timer);
  }
}
