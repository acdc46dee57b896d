import { HarnessError } from "./errors.ts";
import { entryOf, Validation } from "./validate.ts";

const MAX_LABELS = 32;
const MAX_CHARACTERS = 128;

/** Check labels of a sandbox, or those that a leaf wants: the limits are the same for both. */
export function checkSandboxLabels(v: Validation, field: string, labels: Readonly<Record<string, string>>): void {
  const entries = Object.entries(labels);
  v.check(field, entries.length <= MAX_LABELS, `must be at most ${MAX_LABELS}`);
  for (const [name, value] of entries.slice(0, MAX_LABELS)) {
    const path = entryOf(field, name);
    v.check(path, isLength(name, 1), `the name must be 1 to ${MAX_CHARACTERS} characters`);
    v.check(path, isLength(value, 0), `the value must be at most ${MAX_CHARACTERS} characters`);
    v.line(path, name + value);
  }
}

function isLength(text: string, min: number): boolean {
  const { length } = [...text];
  return length >= min && length <= MAX_CHARACTERS;
}

/** Read `gpu=a100, image=python-build`. Returns a text that says what is wrong if an entry is no label. */
export function readSandboxLabels(text: string): Record<string, string> | string {
  const labels = new Map<string, string>();
  for (const entry of text.split(",").map((part) => part.trim())) {
    if (entry === "") continue;
    const [, name, value] = /^([^=]*?)\s*=\s*(.*)$/s.exec(entry) ?? [];
    if (name === undefined || value === undefined) return `${JSON.stringify(entry)} is no label: write NAME=VALUE, as gpu=a100`;
    if (labels.has(name)) return `${JSON.stringify(name)} is there twice`;
    labels.set(name, value);
  }
  const read = Object.fromEntries(labels);
  const v = new Validation();
  checkSandboxLabels(v, "labels", read);
  try {
    v.done();
    return read;
  } catch (error) {
    if (error instanceof HarnessError) return error.message;
    throw error;
  }
}
