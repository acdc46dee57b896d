/** Keys with a name, as xterm sends them. */
const KEYS: Readonly<Record<string, string>> = {
  enter: "\r",
  tab: "\t",
  "shift-tab": "\x1b[Z",
  escape: "\x1b",
  esc: "\x1b",
  space: " ",
  backspace: "\x7f",
  insert: "\x1b[2~",
  delete: "\x1b[3~",
  pageup: "\x1b[5~",
  pagedown: "\x1b[6~",
  f1: "\x1bOP",
  f2: "\x1bOQ",
  f3: "\x1bOR",
  f4: "\x1bOS",
  ...Object.fromEntries([15, 17, 18, 19, 20, 21, 23, 24].map((code, index) => [`f${index + 5}`, `\x1b[${code}~`])),
};

/** The last byte of keys that have two forms. */
const CURSOR_KEYS: Readonly<Record<string, string>> = { up: "A", down: "B", right: "C", left: "D", home: "H", end: "F" };

/**
 * What a terminal sends for keys by name: `Enter`, `Up`, `Ctrl-C`, `Alt-x`, single characters. `application`: the program asked for the other
 * form of the cursor keys. Throws an error that names the key which there is not.
 */
export function keyBytes(keys: readonly string[], application: boolean): string {
  return keys.map((key) => bytesOf(key, application)).join("");
}

function bytesOf(key: string, application: boolean): string {
  if ([...key].length === 1) return key;
  const name = key
    .toLowerCase()
    .replace(/^control[-+]|^ctrl\+|^c-(?=.$)/, "ctrl-")
    .replace(/^alt\+|^meta[-+]/, "alt-");
  const cursor = CURSOR_KEYS[name];
  if (cursor !== undefined) return `\x1b${application ? "O" : "["}${cursor}`;
  const control = /^ctrl-([a-z@[\\\]^_]|space)$/.exec(name)?.[1];
  if (control !== undefined) return control === "space" ? "\0" : String.fromCharCode(control.toUpperCase().charCodeAt(0) & 0x1f);
  if (name.startsWith("alt-") && name.length > 4) return `\x1b${bytesOf(key.slice(4), application)}`;
  const known = KEYS[name];
  if (known === undefined) {
    throw new Error(
      `There is no key ${JSON.stringify(key)}. Keys are Enter, Tab, Escape, Backspace, Up, PageDown, F1, Ctrl-C, Alt-x and the like.`,
    );
  }
  return known;
}
