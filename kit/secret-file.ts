import { readFileSync } from "node:fs";
import type { EnvReader } from "./env.ts";

/** The text of a file that a variable names; `undefined` if it can't be read, which is noted as a problem. */
export function readSecretFile(reader: EnvReader, name: string, file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    reader.problem(`${name}: ${file} can't be read (${(error as NodeJS.ErrnoException).code})`);
    return undefined;
  }
}

/** The bearer token in a file that a variable names. What can't be used is noted as a problem. */
export function readTokenFile(reader: EnvReader, name: string, file: string): string | undefined {
  const word = readSecretFile(reader, name, file)?.trim();
  if (word === undefined || /^\S+$/.test(word)) return word;
  reader.problem(`${name}: ${file} must hold one word, the bearer token`);
  return undefined;
}
