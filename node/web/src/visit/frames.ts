// How long frames take: the mean of the last ones, for the testing hook.

const KEPT = 60;

export class FrameTimes {
  count = 0;
  private readonly script = new Float64Array(KEPT);
  private readonly whole = new Float64Array(KEPT);

  add(scriptMs: number, frameMs: number): void {
    this.script[this.count % KEPT] = scriptMs;
    this.whole[this.count % KEPT] = frameMs;
    this.count += 1;
  }

  get scriptMs(): number {
    return mean(this.script, this.count);
  }

  get fps(): number {
    const ms = mean(this.whole, this.count);
    return ms > 0 ? 1000 / ms : 0;
  }
}

function mean(values: Float64Array, count: number): number {
  const kept = Math.min(count, KEPT);
  let sum = 0;
  for (let index = 0; index < kept; index += 1) sum += values[index] ?? 0;
  return kept > 0 ? sum / kept : 0;
}
