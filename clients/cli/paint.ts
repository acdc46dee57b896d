import { randomUUID } from "node:crypto";
import { stripVTControlCharacters } from "node:util";
import picocolors from "picocolors";
import { clean } from "./clean.ts";

const STYLES = ["dim", "red", "green", "yellow", "cyan"] as const;

/** Colours for one stream. */
export type Colors = Readonly<Record<(typeof STYLES)[number], (text: string) => string>>;

/** Stands for the escape of our own colours until the text is written: nobody else knows it, so that a text can't colour itself. */
const ESCAPE = `\uE000${randomUUID()}\uE000`;

/** Painters of text, or where there shall be no colours, what leaves it as it is. */
export function createPaint(enabled: boolean): Colors {
  const colors = picocolors.createColors(enabled);
  const painter = (style: (typeof STYLES)[number]) => (text: string) => colors[style](clean(text)).replaceAll("\u001b", ESCAPE);
  return { dim: painter("dim"), red: painter("red"), green: painter("green"), yellow: painter("yellow"), cyan: painter("cyan") };
}

/** A text as it is written: clean, with our own colours. */
export function painted(text: string): string {
  return clean(text).replaceAll(ESCAPE, "\u001b");
}

/** Characters of a text that are seen. */
export function seenLength(text: string): number {
  return stripVTControlCharacters(painted(text)).length;
}
