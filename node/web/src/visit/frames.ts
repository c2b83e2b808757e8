// How many frames were drawn, and how long the last ones took, for the testing hook.

const KEPT = 60;

export class FrameTimes {
  count = 0;
  private readonly took = new Float64Array(KEPT);

  add(ms: number): void {
    this.took[this.count % KEPT] = ms;
    this.count += 1;
  }

  get fps(): number {
    const kept = Math.min(this.count, KEPT);
    let sum = 0;
    for (let index = 0; index < kept; index += 1) sum += this.took[index] ?? 0;
    return sum > 0 ? (1000 * kept) / sum : 0;
  }
}
