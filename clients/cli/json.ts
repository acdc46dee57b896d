/** A text as JSON, or `undefined` if it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** As {@link parseJson}, for a line that holds an object. */
export function parseObject(line: string): Readonly<Record<string, unknown>> | undefined {
  return line.startsWith("{") ? (parseJson(line) as Readonly<Record<string, unknown>> | undefined) : undefined;
}
