/** What is known of an entry without its body, as a script packed it. */
export interface Head {
  readonly id: string;
  readonly seq: number;
  readonly parent: string | null;
  readonly time: string;
  readonly type: string;
  readonly custom: string;
}

/** Entries as a script shows them, one after the other: heads in MessagePack, of which only what lib.lua packs is known here, and bodies. */
export class EntryReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The next entry's head and body. */
  next(): { head: Head; body: string } {
    const id = String(this.#value());
    const bytes = Number(this.#value());
    this.#value();
    const seq = Number(this.#value());
    this.#value();
    this.#value();
    const parent = this.#value();
    const [time, type, custom] = [String(this.#value()), String(this.#value()), String(this.#value())];
    return { head: { id, seq, parent: parent === null ? null : String(parent), time, type, custom }, body: this.#text(bytes) };
  }

  #value(): number | string | null {
    const tag = this.#bytes[this.#at++] ?? 0xc0;
    if (tag < 0x80) return tag;
    if (tag >= 0xa0 && tag < 0xc0) return this.#text(tag & 0x1f);
    switch (tag) {
      case 0xc2:
        return null;
      case 0xcb:
        this.#at += 8;
        return this.#bytes.readDoubleBE(this.#at - 8);
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#number(1 << (tag - 0xcc));
      case 0xcf:
        this.#at += 8;
        return Number(this.#bytes.readBigUInt64BE(this.#at - 8));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#number(1 << (tag - 0xd9)));
      default:
        throw new TypeError(`an entry's head holds a value of an unknown kind, 0x${tag.toString(16)}`);
    }
  }

  #number(bytes: number): number {
    this.#at += bytes;
    return this.#bytes.readUIntBE(this.#at - bytes, bytes);
  }

  #text(bytes: number): string {
    this.#at += bytes;
    return this.#bytes.toString("utf8", this.#at - bytes, this.#at);
  }
}
