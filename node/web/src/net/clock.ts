// Tells which tick of the instance it is here and now, from when frames of known ticks came.

/** The least delayed frames say most about the clock: the earliest of the last ones counts. */
const WINDOW = 64;
/** How fast a clock that runs late is believed, in milliseconds a frame. */
const DRIFT_MS = 0.2;

export class TickClock {
  private readonly offsets: number[] = [];
  private next = 0;
  private offset: number | null = null;

  constructor(readonly tickHz: number) {}

  /** A frame of that tick came at that local time. */
  heard(tick: number, nowMs: number): void {
    const offset = nowMs - (tick * 1000) / this.tickHz;
    this.offsets[this.next % WINDOW] = offset;
    this.next += 1;
    let least = offset;
    for (const other of this.offsets) least = Math.min(least, other);
    if (this.offset === null || least < this.offset) this.offset = least;
    else this.offset = Math.min(least, this.offset + DRIFT_MS);
  }

  /** The local time at which that tick was sent, as if nothing had delayed it. */
  timeOf(tick: number): number {
    return (this.offset ?? 0) + (tick * 1000) / this.tickHz;
  }
}
