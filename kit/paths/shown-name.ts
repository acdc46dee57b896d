import { isUtf8 } from "node:buffer";

/**
 * Names are bytes, and what is sent is text. A byte that is not UTF-8 is shown as `\xff`, with its two hexadecimal
 * digits, as a shell's `$'…'` reads it. A backslash of the name itself that would look like the start of one is shown
 * as `\x5c`. All other names are shown as they are. So two names never share a text, and a path that a client sends
 * leads back to the bytes that it stands for. An escape never stands for a slash, a dot or a NUL.
 *
 * All paths in hands are such texts, until a system call or a glob takes one.
 */
const ESCAPE = /\\x(?:5[cC]|[89a-fA-F][0-9a-fA-F])/;
const ESCAPES = new RegExp(ESCAPE, "g");
/** A backslash that starts what looks like an escape. */
const LOOKALIKES = /\\(?=x(?:5[cC]|[89a-fA-F][0-9a-fA-F]))/g;
/** In a glob a backslash takes the character after it as it is, so it may be the second one of a pair. */
const ESCAPES_OR_PAIRS = new RegExp(`${ESCAPE.source}|\\\\[^]`, "gu");

/** Characters from here on stand for bytes that are not UTF-8 while globs are matched. No text of UTF-8 holds them. */
const ODD_BYTES = 0xdc00;
const BACKSLASH = 0x5c;

/** How a name, or a path, is shown that is text. */
export function shownText(name: string): string {
  return name.replace(LOOKALIKES, "\\x5c");
}

/** How a name, or a path, is shown. */
export function shownBytes(name: Buffer): string {
  if (isUtf8(name)) return shownText(name.toString());
  return decode(name, shownText, (byte) => `\\x${byte.toString(16)}`);
}

/** The one text of what a client's path stands for: escapes have other spellings, as `\xFF`, or `\xc3\xa9` for a character. */
export function shownPath(sent: string): string {
  return ESCAPE.test(sent) ? shownBytes(bytesOf(sent)) : sent;
}

/** What a system call takes for a path that is shown so: a text if it can be one. */
export function pathBytes(shown: string): string | Buffer {
  return ESCAPE.test(shown) ? bytesOf(shown) : shown;
}

/** A shown name as globs are matched with it: each byte that is not UTF-8 is one character. */
export function globbedName(shown: string): string {
  return ESCAPE.test(shown) ? globbedBytes(bytesOf(shown)) : shown;
}

/** {@link globbedName} of bytes. */
function globbedBytes(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString();
  return decode(
    bytes,
    (text) => text,
    (byte) => String.fromCharCode(ODD_BYTES + byte),
  );
}

/** A glob that a client sent, with the names in it that are shown: to be matched with {@link globbedName}. */
export function globbedGlob(glob: string): string {
  const bytes = unescaped(glob, ESCAPES_OR_PAIRS, (found) => {
    if (found.length < 4) return Buffer.from(found);
    return byteOf(found) === BACKSLASH ? Buffer.from("\\\\") : Buffer.of(byteOf(found));
  });
  return globbedBytes(bytes);
}

function bytesOf(shown: string): Buffer {
  return unescaped(shown, ESCAPES, (found) => Buffer.of(byteOf(found)));
}

function unescaped(text: string, escapes: RegExp, bytesFor: (found: string) => Buffer): Buffer {
  const bytes: Buffer[] = [];
  let at = 0;
  for (const { 0: found, index } of text.matchAll(escapes)) {
    bytes.push(Buffer.from(text.slice(at, index)), bytesFor(found));
    at = index + found.length;
  }
  return Buffer.concat([...bytes, Buffer.from(text.slice(at))]);
}

function byteOf(found: string): number {
  return Number.parseInt(found.slice(2), 16);
}

/** Bytes as text: what is UTF-8 by `asText`, every other byte by `asByte`. */
function decode(bytes: Buffer, asText: (text: string) => string, asByte: (byte: number) => string): string {
  const parts: string[] = [];
  let start = 0;
  for (let at = 0; at < bytes.length; ) {
    const length = [1, 2, 3, 4].find((n) => at + n <= bytes.length && isUtf8(bytes.subarray(at, at + n)));
    if (length === undefined) {
      parts.push(asText(bytes.toString("utf8", start, at)), asByte(bytes[at] ?? 0));
      start = at + 1;
    }
    at += length ?? 1;
  }
  return [...parts, asText(bytes.toString("utf8", start))].join("");
}
