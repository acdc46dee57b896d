/** Signs that look beyond themselves. To work out what many of them leave possible takes longer than a request may. */
const ASSERTION = /\(\?<?[=!]|\\[bB]|[$^]/g;
const MAX_ASSERTIONS = 8;

/** What is wrong with the pattern of a gate; `undefined`: nothing. A gate that holds nothing looks like one that does. */
export async function patternProblem(pattern: string): Promise<string | undefined> {
  if (!isPattern(pattern)) return "must be a regular expression of JavaScript, with the flag u";
  return (await canMatch(pattern)) ? undefined : "must be able to match: no text does, so that it would hold no call";
}

function isPattern(pattern: string): boolean {
  try {
    new RegExp(pattern, "u");
    return true;
  } catch {
    return false;
  }
}

/** Some text matches. What would take long to find out is taken to match. */
async function canMatch(pattern: string): Promise<boolean> {
  if ((pattern.match(ASSERTION) ?? []).length > MAX_ASSERTIONS) return true;
  // A CommonJS package: bundled, it has no export but its default.
  const { JS, Transformers, combineTransformers, transform } = (await import("refa")).default;
  const { expression } = JS.Parser.fromLiteral({ source: pattern, flags: "um" }).parse({ backreferences: "unknown", assertions: "parse" });
  const reduce = combineTransformers([Transformers.inline(), Transformers.removeDeadBranches(), Transformers.applyAssertions()]);
  return transform(reduce, expression).alternatives.length > 0;
}
