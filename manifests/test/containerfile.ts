/** A stage of a Containerfile. */
export interface Stage {
  /** What follows AS. */
  readonly name: string | undefined;
  /** The image or stage that it begins with. */
  readonly from: string;
  readonly instructions: ReadonlyArray<{ readonly keyword: string; readonly text: string }>;
}

/** The stages of a Containerfile, in their order. Lines that go on after a backslash are one; what is before the first stage is left out. */
export function readStages(text: string): Stage[] {
  const stages: Array<Stage & { instructions: Array<{ keyword: string; text: string }> }> = [];
  const lines = text
    .replace(/^#.*\n/gm, "")
    .replace(/\\\n\s*/g, " ")
    .split("\n")
    .filter((line) => line.trim() !== "");
  for (const line of lines) {
    const [, keyword = "", rest = ""] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
    const [, from, name] = /^(\S+)(?:\s+AS\s+(\S+))?$/.exec(rest) ?? [];
    if (keyword === "FROM") stages.push({ name, from: from ?? "", instructions: [] });
    else stages.at(-1)?.instructions.push({ keyword, text: rest });
  }
  return stages;
}
