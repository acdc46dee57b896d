/** What a request is made of: JSON, in which a text may hold names of plants. */
export type Tree = string | number | boolean | null | readonly Tree[] | { readonly [key: string]: Tree };

/** What stands for the names: another tenant's ids, or ids that never were. */
export type Ids = Readonly<Record<string, string>>;

const PLANT = /\uE000(\w+)\uE001/g;

/** The place of an id, of either tenant, in a request. */
export function plant(name: string): string {
  return `\uE000${name}\uE001`;
}

/** The request with real ids in its places. */
export function planted<T>(tree: T, ids: Ids): T {
  const put = (value: unknown): unknown => {
    if (typeof value === "string") return value.replace(PLANT, (_, name: string) => ids[name] ?? "");
    if (Array.isArray(value)) return value.map(put);
    // By entries that are defined, so that a `__proto__` stays one.
    if (typeof value === "object" && value !== null)
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [put(key), put(each)]));
    return value;
  };
  return put(tree) as T;
}

/** Something of `names` is planted in the request. */
export function holds(tree: unknown, names: readonly string[]): boolean {
  const text = JSON.stringify(tree);
  return names.some((name) => text.includes(plant(name)));
}

/** Ids of the same form and length, and of the same time, of things that never were. */
export function neverWere(ids: Ids): Ids {
  const { tenant = "" } = ids;
  const other = otherEnd(tenant);
  return Object.fromEntries(Object.entries(ids).map(([name, id]) => [name, id === tenant ? other : otherEnd(id.replace(tenant, other))]));
}

const END = 10;
const LETTERS = "abcdefghjkmnpqrstvwxyz";

/** The same but for its end; a file's suffix stays. */
function otherEnd(id: string): string {
  const end = Array.from({ length: END }, () => LETTERS.charAt(Math.floor(Math.random() * LETTERS.length))).join("");
  const [, stem = "", suffix = ""] = /^(.*?)(\.json)?$/.exec(id) ?? [];
  return `${stem.slice(0, -END)}${end}${suffix}`;
}
