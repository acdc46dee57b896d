import {
  type AgentHarnessTool,
  applyShellOutputUpdate,
  type BashToolDetails,
  createBashTool,
  DEFAULT_MAX_BYTES,
  type ExecutionEnv,
  formatSize,
} from "@earendil-works/pi-agent-core";
import type { BoundedOutput } from "../env/output-view.ts";
import type { ToolContext } from "./tool.ts";

type PiBashTool = ReturnType<typeof createBashTool<ToolContext>>;
type Exec = ExecutionEnv["exec"];

/**
 * Pi's bash tool, with notes of our own on output that is not shown as a whole: what is shown may begin inside of a line, and the sandbox knows
 * more of the rest.
 */
export function createSandboxBashTool(): AgentHarnessTool<ToolContext, PiBashTool["parameters"], BashToolDetails | undefined> {
  const pi = createBashTool<ToolContext>();
  return {
    ...pi,
    async execute(toolCallId, params, onUpdate, { env }, invocation, context) {
      let cut: BoundedOutput | undefined;
      const exec = withNote(
        (...given) => env.exec(...given),
        (output) => {
          cut = output;
        },
      );
      const result = await pi.execute(
        toolCallId,
        params,
        onUpdate,
        { env: { cwd: env.cwd, exec } as ToolContext["env"] },
        invocation,
        context,
      );
      return cut === undefined ? result : { ...result, details: detailsOf(cut) };
    },
  };
}

function detailsOf({ truncation, spillPath }: BoundedOutput): BashToolDetails {
  return { truncation, ...(spillPath === undefined ? {} : { fullOutputPath: spillPath }) };
}

/** At its end an output that is cut, or of which the sandbox has more to say, has the note, and nothing says to Pi that it was cut. */
function withNote(exec: Exec, onCut: (output: BoundedOutput) => void): Exec {
  return async (command, options, context) => {
    let output: BoundedOutput | undefined;
    const onUpdate: NonNullable<typeof options>["onUpdate"] = (update, updateContext) => {
      output = applyShellOutputUpdate(output, update);
      options?.onUpdate?.(update, updateContext);
    };
    const result = await exec(command, { ...options, onUpdate }, context);
    if (output === undefined) return result;
    const isCut = output.truncation.truncated;
    const note = isCut ? cutNote(output) : output.problem;
    if (note === undefined) return result;
    if (isCut) onCut(output);
    const truncation = { ...output.truncation, truncated: false };
    options?.onUpdate?.(
      { kind: "replace", output: { ...output, text: output.text === "" ? `[${note}]` : `${output.text}\n\n[${note}]`, truncation } },
      context,
    );
    return result.ok ? { ok: true, value: { ...result.value, truncation } } : result;
  };
}

/** What of an output is shown, and where the rest is: in Pi's words where Pi has true ones. */
export function cutNote(output: BoundedOutput): string {
  const { outputLines, outputBytes, totalLines, truncatedBy, lastLinePartial } = output.truncation;
  const { spillPath, lastLineBytes, beginsInLine, uncounted, problem } = output;
  const rest = spillPath === undefined ? "The rest was not kept: write it to a file to see it" : `Full output: ${spillPath}`;
  const known = [rest, ...(problem === undefined ? [] : [problem])].join(". ");
  if (uncounted) return `Showing ${formatSize(outputBytes)} of what came of the output. ${known}`;
  if (lastLinePartial) {
    const whole = lastLineBytes === undefined ? "" : ` (line is ${formatSize(lastLineBytes)})`;
    return `Showing last ${formatSize(outputBytes)} of line ${totalLines}${whole}. ${known}`;
  }
  const first = totalLines - outputLines + 1;
  const begins = beginsInLine ? `, of line ${first} only its end` : "";
  const limit = truncatedBy === "lines" ? "" : ` (${formatSize(DEFAULT_MAX_BYTES)} limit)`;
  return `Showing lines ${first}-${totalLines} of ${totalLines}${begins}${limit}. ${known}`;
}
