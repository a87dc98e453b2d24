/** Runs a tool of the host (`ip`, `nft`) to its end. */
import { execFile } from 'node:child_process';

const OUTPUT_BYTES_MAX = 256 * 1024 * 1024;
const TIMEOUT_MS = 30_000;

/** A service manager's PATH may lack the folders of the administrator's tools; messages are read in English. */
export const TOOL_ENVIRONMENT: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin`,
  LC_ALL: 'C',
};

export interface ToolResult {
  /** 0: it succeeded. `null`: it is not installed, or it was ended by a signal. */
  readonly code: number | null;
  readonly missing: boolean;
  readonly stdout: string;
  /** One line, for messages. */
  readonly complaint: string;
}

/** Never rejects. */
export function runTool(tool: string, args: readonly string[]): Promise<ToolResult> {
  const options = { env: TOOL_ENVIRONMENT, maxBuffer: OUTPUT_BYTES_MAX, timeout: TIMEOUT_MS };
  return new Promise((resolve) => {
    execFile(tool, args, options, (error, stdout, stderr) => {
      const missing = error?.code === 'ENOENT';
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
      const firstLine = stderr.trim().split('\n')[0] ?? '';
      const complaint = missing ? `${tool}: not installed` : firstLine || (error?.message.split('\n')[0] ?? '');
      resolve({ code, missing, stdout, complaint });
    });
  });
}
