// Comparing emoji with other devices: one's own, and those of other people.
import {
  DeviceId,
  EventId,
  OtherUserIdentity,
  type OutgoingRequest,
  type OwnUserIdentity,
  RoomId,
  Sas,
  UserId,
  VerificationMethod,
  type VerificationRequest,
  VerificationRequestPhase,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import { DeviceError } from "./errors";
import type { AnyRequest, Machine } from "./machine";
import type { Flow } from "./protocol";
import { isFresh, isTalk, LATEST_MS, shownUntil, standing } from "./questions";
import type { Room } from "./rooms";
import type { RawEvent } from "./sync";
import type { Begun, Comparisons } from "./vault";

export interface VerifyingDoors {
  /** Sends the question of a comparison to a direct conversation, and returns the id of its event. */
  ask(userId: string, content: object): Promise<{ roomId: string; eventId: string }>;
  /** Says something about a comparison in a room. */
  say(roomId: string, type: string, content: object): Promise<string>;
  nameOf(userId: string): string;
  /** Keeps what goes from device to device and is not over beyond this page. */
  keep(comparisons: Comparisons): Promise<void>;
  changed(): void;
  /** Somebody, or another device of one's own, is verified now. */
  verified(userId: string): void;
}

interface Held {
  request: VerificationRequest;
  sas: Sas | null;
  stage: Flow["stage"];
  /** Hides the question when nobody has answered for long. */
  timer: ReturnType<typeof setTimeout> | null;
}

const METHODS = [VerificationMethod.SasV1];
/** Whoever asks again and again is not heard beyond that. */
const MOST_FLOWS = 20;
const MISMATCH = "m.mismatched_sas";
const BROKEN_OFF = { code: "m.user", reason: "the page was closed" };
/** After these nothing more happens. */
const OVER = new Set<Flow["stage"]>(["done", "cancelled"]);

export class Verifying {
  private readonly held = new Map<string, Held>();
  /** Questions of other devices that nobody has answered, by their ids: a page that opens hears of them once. */
  private readonly letters = new Map<string, RawEvent>();
  /** What goes on between this device and another one: nobody else can end it when the page closes. */
  private readonly begun = new Map<string, Begun>();
  private keeping: Promise<void> = Promise.resolve();

  constructor(
    private readonly machine: Machine,
    private readonly doors: VerifyingDoors,
  ) {}

  flows(): Flow[] {
    return [...this.held.values()].map((one) => this.shown(one));
  }

  private shown({ request, sas, stage }: Held): Flow {
    const cancel = sas?.cancelInfo() ?? request.cancelInfo;
    const userId = request.otherUserId.toString();
    const numbers = sas?.emojiIndex() ?? [];
    const emoji = sas?.emoji() ?? [];
    return {
      id: request.flowId,
      userId,
      name: this.doors.nameOf(userId),
      deviceId: request.otherDeviceId?.toString() ?? null,
      self: request.isSelfVerification(),
      weAsked: request.weStarted(),
      stage,
      emoji: emoji.map(({ symbol }, index) => ({ symbol, number: numbers[index] ?? 0 })),
      reason: cancel?.cancelCode() ?? "",
      cancelledByUs: cancel?.cancelledbyUs() ?? false,
    };
  }

  /** Takes in what another device says to this one about a comparison. */
  async hearLetter(event: RawEvent): Promise<void> {
    const { type, sender } = event;
    if (type !== "m.key.verification.request" || !sender) return;
    const { transaction_id: id, from_device: device, timestamp } = event.content;
    if (typeof id !== "string" || !isFresh(Number(timestamp), Date.now())) return;
    // A device that has just come may not be known yet: the library leaves its question aside then.
    if (!this.machine.olm.getVerificationRequest(new UserId(sender), id)) {
      await this.know(sender, device);
      await this.machine.hearAgain([event]);
    }
    if (!this.hold(sender, id, Number(timestamp))) return;
    this.letters.set(id, event);
    await this.keepOpen();
  }

  /** Takes up what was kept when the last page closed, before any news: one of them may end it. */
  async resume({ questions, begun }: Comparisons): Promise<void> {
    for (const one of begun) await this.breakOff(one).catch(console.warn);
    for (const letter of questions) await this.hearLetter(letter);
    if (begun.length > 0 || this.letters.size !== questions.length) await this.keepOpen();
  }

  /** What was compared went with the page; whoever waits for an answer need not any more. */
  private async breakOff({ id, userId, deviceId, sinceMs }: Begun): Promise<void> {
    if (!isFresh(sinceMs, Date.now())) return;
    await this.machine.tell("m.key.verification.cancel", userId, deviceId, { ...BROKEN_OFF, transaction_id: id });
  }

  /** One after the other: what is kept is what was so last. */
  private keepOpen(): Promise<void> {
    const open = { questions: [...this.letters.values()], begun: [...this.begun.values()] };
    this.keeping = this.keeping.then(() => this.doors.keep(open)).catch(console.warn);
    return this.keeping;
  }

  /** Fetches the keys of somebody whose device is not known. */
  private async know(userId: string, device: unknown): Promise<void> {
    const { olm } = this.machine;
    if (typeof device !== "string") return;
    if (await olm.getDevice(new UserId(userId), new DeviceId(device))) return;
    await this.machine.send(olm.queryKeysForUsers([new UserId(userId)]));
  }

  /** Takes up what was asked in a room while no page was open, from its events, opened. */
  async hearPast(room: Room, events: readonly RawEvent[]): Promise<void> {
    const { open, brokenOff } = standing(events, this.machine.identity, Date.now());
    for (const question of open) await this.hearEvent(room, question);
    for (const id of brokenOff) {
      const relation = { rel_type: "m.reference", event_id: id };
      await this.doors.say(room.roomId, "m.key.verification.cancel", { ...BROKEN_OFF, "m.relates_to": relation });
    }
  }

  /** Takes in what is said in a room about a comparison. */
  async hearEvent(room: Room, event: RawEvent): Promise<void> {
    if (!isTalk(event)) return;
    if (Date.now() - (event.origin_server_ts ?? 0) > LATEST_MS) return;
    const { event_id: id, sender } = event;
    if (!id || !sender) return;
    const asks = event.type === "m.room.message" && sender !== this.machine.identity.userId;
    if (asks) await this.know(sender, event.content.from_device);
    await this.machine.olm.receiveVerificationEvent(JSON.stringify(event), new RoomId(room.roomId));
    if (asks) this.hold(sender, id, event.origin_server_ts ?? 0);
    await this.machine.pump();
  }

  /** Shows a question that stands, for as long as it does; true where it is one. */
  private hold(userId: string, id: string, askedMs: number): boolean {
    const request = this.machine.olm.getVerificationRequest(new UserId(userId), id);
    if (!request || this.held.size >= MOST_FLOWS || this.held.has(id)) return false;
    if (request.isPassive() || request.phase() !== VerificationRequestPhase.Requested) return false;
    this.keep(request);
    const held = this.one(id);
    const now = Date.now();
    held.timer = setTimeout(() => {
      if (held.stage === "asked") this.dismiss(id);
    }, Math.max(0, shownUntil(askedMs, now) - now));
    return true;
  }

  private keep(request: VerificationRequest): string {
    const id = request.flowId;
    const held: Held = { request, sas: null, stage: request.weStarted() ? "waiting" : "asked", timer: null };
    this.held.set(id, held);
    if (request.weStarted()) this.noteBegun(held);
    // The library is still at work when it tells of a change: what it knows is asked for after that.
    request.registerChangesCallback(async () => void setTimeout(() => void this.look(id)));
    this.doors.changed();
    return id;
  }

  /** Asks another device of the person, or all of them, to compare. */
  async askDevice(deviceId: string | null): Promise<string> {
    const { olm, identity } = this.machine;
    if (deviceId !== null) {
      const device = await olm.getDevice(new UserId(identity.userId), new DeviceId(deviceId));
      if (!device) throw new DeviceError("no_identity");
      const [request, letter] = device.requestVerification(METHODS);
      await this.machine.send(letter);
      return this.keep(request);
    }
    const own = (await olm.getIdentity(new UserId(identity.userId))) as OwnUserIdentity | undefined;
    if (!own) throw new DeviceError("no_identity");
    const [request, letter] = await own.requestVerification(METHODS);
    await this.machine.send(letter);
    return this.keep(request);
  }

  /** Asks somebody else to compare, in the conversation with them. */
  async askPerson(userId: string): Promise<string> {
    const { olm } = this.machine;
    const query = olm.queryKeysForUsers([new UserId(userId)]);
    await this.machine.send(query);
    const identity = await olm.getIdentity(new UserId(userId));
    if (!(identity instanceof OtherUserIdentity)) throw new DeviceError("no_identity", userId);
    const content = JSON.parse(identity.verificationRequestContent(METHODS)) as object;
    const { roomId, eventId } = await this.doors.ask(userId, content);
    return this.keep(identity.requestVerification(new RoomId(roomId), new EventId(eventId), METHODS));
  }

  private one(id: string): Held {
    const held = this.held.get(id);
    if (!held) throw new DeviceError("silent");
    return held;
  }

  async accept(id: string): Promise<void> {
    const { request } = this.one(id);
    await this.say(request.acceptWithMethods(METHODS));
    await this.look(id);
  }

  /** Begins to compare, where both are ready. */
  async compare(id: string): Promise<void> {
    const held = this.one(id);
    const begun = await held.request.startSas();
    if (!begun) return;
    const [sas, letter] = begun;
    this.follow(held, sas);
    await this.say(letter);
    await this.look(id);
  }

  async match(id: string, same: boolean): Promise<void> {
    const held = this.one(id);
    if (!same) {
      await this.say(held.sas?.cancelWithCode(MISMATCH));
    } else {
      for (const letter of (await held.sas?.confirm()) ?? []) await this.say(letter);
    }
    await this.look(id);
  }

  async cancel(id: string): Promise<void> {
    const { request } = this.one(id);
    await this.say(request.cancel());
    await this.look(id);
  }

  /** What is over is shown until somebody has seen it. */
  dismiss(id: string): void {
    this.drop(id);
    this.doors.changed();
  }

  private drop(id: string): void {
    const timer = this.held.get(id)?.timer;
    if (timer) clearTimeout(timer);
    this.held.delete(id);
    this.forget(id);
  }

  private forget(id: string): void {
    const letter = this.letters.delete(id);
    if (this.begun.delete(id) || letter) void this.keepOpen();
  }

  /** Whoever has answered here is not asked again by the next page, which calls off what this one leaves behind. */
  private noteBegun({ request }: Held): void {
    const id = request.flowId;
    this.letters.delete(id);
    // In a room, its events say what was begun.
    if (!request.roomId) {
      const deviceId = request.otherDeviceId?.toString() ?? null;
      this.begun.set(id, { id, userId: request.otherUserId.toString(), deviceId, sinceMs: Date.now() });
    }
    void this.keepOpen();
  }

  private async say(letter: OutgoingRequest | undefined | object): Promise<void> {
    if (letter) await this.machine.send(letter as AnyRequest);
  }

  private follow(held: Held, sas: Sas): void {
    held.sas = sas;
    sas.registerChangesCallback(async () => void setTimeout(() => void this.look(held.request.flowId)));
  }

  private async look(id: string): Promise<void> {
    const held = this.held.get(id);
    if (!held || OVER.has(held.stage)) return;
    try {
      await this.advance(held);
    } catch (error) {
      console.warn("a comparison does not go on", error);
    }
    this.doors.changed();
  }

  private async advance(held: Held): Promise<void> {
    const { request } = held;
    const begun = request.getVerification();
    if (begun instanceof Sas && !held.sas) {
      this.follow(held, begun);
      await this.say(begun.accept());
    }
    const before = held.stage;
    held.stage = stageOf(held);
    if (held.stage === before) return;
    if (OVER.has(held.stage)) this.forget(request.flowId);
    else this.noteBegun(held);
    // Who asked goes on by themselves; who was asked waits for that, or begins.
    if (held.stage === "ready" && request.weStarted()) await this.compare(request.flowId);
    if (held.stage === "done") {
      await this.machine.pump();
      this.doors.verified(request.otherUserId.toString());
    }
    const neverSeen = before === "asked" && held.stage === "cancelled";
    if (neverSeen) this.drop(request.flowId);
  }
}

function stageOf({ request, sas, stage }: Held): Flow["stage"] {
  // What another device of the person's has taken up is over here.
  if (request.isCancelled() || request.isPassive() || sas?.isCancelled()) return "cancelled";
  if (request.isDone() || sas?.isDone()) return "done";
  if (sas?.haveWeConfirmed()) return "confirmed";
  if (sas?.canBePresented()) return "comparing";
  if (sas) return "ready";
  return request.phase() === VerificationRequestPhase.Ready ? "ready" : stage;
}
