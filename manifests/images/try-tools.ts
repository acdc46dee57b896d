import { HandsClient } from "../../hands/client/index.ts";

/** What an agent expects in its sandbox. */
const TOOLS = "git --version && rg --version && python3 --version && curl --version && jq --version && bash --version";

/** Has hands run an agent's tools in a workspace. Throws an error with what was written if one of them is missing. */
export async function tryTools(socket: string): Promise<void> {
  const client = new HandsClient({ address: `unix:${socket}` });
  try {
    const workspace = client.workspace("images/try", 1n);
    await workspace.create();
    let output = "";
    const exec = workspace.exec({ execId: "tools", command: { shell: TOOLS } }, (update) => {
      if (update.kind === "output") output += Buffer.from(update.data).toString();
    });
    const { exitCode } = (await exec.ended) as { exitCode?: number };
    if (exitCode !== 0) throw new Error(`the tools ended with exit code ${exitCode}: ${output}`);
  } finally {
    client.close();
  }
}
