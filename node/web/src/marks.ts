// What this browser remembers of its person as a short list of texts; the oldest go first.

export class Marks {
  constructor(
    private readonly key: string,
    private readonly most: number,
  ) {}

  has(one: string): boolean {
    return this.all().includes(one);
  }

  add(one: string): void {
    const kept = [...this.all().filter((other) => other !== one), one].slice(-this.most);
    try {
      localStorage.setItem(this.key, JSON.stringify(kept));
    } catch {
      // Where the browser keeps nothing, it is not known the next time.
    }
  }

  /** Whoever signs out leaves no trace. */
  forget(): void {
    localStorage.removeItem(this.key);
  }

  private all(): string[] {
    try {
      const kept: unknown = JSON.parse(localStorage.getItem(this.key) ?? "[]");
      return Array.isArray(kept) ? kept.filter((one) => typeof one === "string").slice(-this.most) : [];
    } catch {
      return [];
    }
  }
}
