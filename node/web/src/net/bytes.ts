// Reads and writes the little-endian numbers and texts of frames.

/** A frame that is not what it says it is. */
export class BrokenFrame extends Error {
  override name = "BrokenFrame";
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Reads one frame from its start to its very end. */
export class Reader {
  private readonly view: DataView;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  private take(count: number): number {
    const start = this.at;
    if (start + count > this.view.byteLength) throw new BrokenFrame("the frame is too short");
    this.at += count;
    return start;
  }

  u8(): number {
    return this.view.getUint8(this.take(1));
  }

  i8(): number {
    return this.view.getInt8(this.take(1));
  }

  u16(): number {
    return this.view.getUint16(this.take(2), true);
  }

  i16(): number {
    return this.view.getInt16(this.take(2), true);
  }

  i24(): number {
    const start = this.take(3);
    return this.view.getUint16(start, true) | (this.view.getInt8(start + 2) << 16);
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  text(): string {
    return this.utf8(this.u16());
  }

  long(): string {
    return this.utf8(this.u32());
  }

  private utf8(count: number): string {
    const start = this.take(count);
    try {
      return decoder.decode(new Uint8Array(this.view.buffer, this.view.byteOffset + start, count));
    } catch {
      throw new BrokenFrame("a text is no UTF-8");
    }
  }

  /** Refuses what is left over. */
  end(): void {
    if (this.at !== this.view.byteLength) throw new BrokenFrame("the frame is too long");
  }
}

/** Writes one frame into a buffer that grows to what is asked of it. */
export class Writer {
  private bytes = new Uint8Array(64);
  private view = new DataView(this.bytes.buffer);
  private at = 0;

  private give(count: number): number {
    const start = this.at;
    this.at += count;
    if (this.at > this.bytes.length) {
      const more = new Uint8Array(Math.max(this.at, this.bytes.length * 2));
      more.set(this.bytes);
      this.bytes = more;
      this.view = new DataView(more.buffer);
    }
    return start;
  }

  u8(value: number): this {
    this.view.setUint8(this.give(1), value);
    return this;
  }

  i8(value: number): this {
    this.view.setInt8(this.give(1), value);
    return this;
  }

  u16(value: number): this {
    this.view.setUint16(this.give(2), value, true);
    return this;
  }

  i16(value: number): this {
    this.view.setInt16(this.give(2), value, true);
    return this;
  }

  i24(value: number): this {
    const start = this.give(3);
    this.view.setUint16(start, value & 0xffff, true);
    this.view.setInt8(start + 2, value >> 16);
    return this;
  }

  u32(value: number): this {
    this.view.setUint32(this.give(4), value, true);
    return this;
  }

  text(value: string): this {
    const bytes = encoder.encode(value);
    return this.u16(bytes.length).raw(bytes);
  }

  /** So many bytes as they are. */
  raw(bytes: Uint8Array): this {
    // The buffer is another one where it had to grow.
    const start = this.give(bytes.length);
    this.bytes.set(bytes, start);
    return this;
  }

  done(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.at);
  }
}
