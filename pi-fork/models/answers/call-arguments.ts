/** Objects and lists in each other that the arguments of a call may have: those who walk through them call themselves for each. */
const MAX_DEPTH = 200;

/** Watches the arguments of tool calls as they arrive: Pi makes a call with whatever it can read of them. */
export class CallArguments {
  #pieces: string[] = [];
  #depth = 0;
  #inText = false;
  #escaped = false;
  #broken = false;

  /** A block of the answer begins. */
  begin(): void {
    this.#pieces = [];
    this.#depth = 0;
    this.#inText = false;
    this.#escaped = false;
  }

  /** Some more of the arguments. Throws where they are too deep. */
  add(piece: string): void {
    this.#pieces.push(piece);
    for (let at = 0; at < piece.length; at++) this.#step(piece.charCodeAt(at));
    if (this.#depth > MAX_DEPTH) throw new Error(`the arguments of a call are nested more than ${MAX_DEPTH} deep`);
  }

  /** The block is whole. */
  end(): void {
    if (this.#pieces.length > 0 && !isJson(this.#pieces.join(""))) this.#broken = true;
    this.#pieces = [];
  }

  /** The calls are to be made. Throws if the arguments of one are no JSON. */
  check(): void {
    if (this.#broken) throw new Error("the arguments of a call are no JSON");
  }

  #step(code: number): void {
    if (this.#escaped) this.#escaped = false;
    else if (this.#inText && code === BACKSLASH) this.#escaped = true;
    else if (code === QUOTE) this.#inText = !this.#inText;
    else if (this.#inText) return;
    else if (code === OPEN_OBJECT || code === OPEN_LIST) this.#depth = Math.min(this.#depth + 1, MAX_DEPTH + 1);
    else if (code === CLOSE_OBJECT || code === CLOSE_LIST) this.#depth -= this.#depth > MAX_DEPTH ? 0 : 1;
  }
}

const [QUOTE, BACKSLASH, OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST] = [34, 92, 123, 125, 91, 93];

/** Pi mends line breaks in texts and wrong escapes, and so they are no fault here. */
function isJson(text: string): boolean {
  if (text.trim() === "") return true;
  const mended = text
    .replace(/\p{Cc}/gu, " ")
    .replace(/\\(["\\/bfnrt]|u[0-9a-fA-F]{4})|\\/g, (all, good) => (good === undefined ? "\\\\" : all));
  try {
    JSON.parse(mended);
    return true;
  } catch {
    return false;
  }
}
