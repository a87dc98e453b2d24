/** Runs a tool of this host to its end and reads what it says. */
import { execFile } from 'node:child_process';
import { type Known, known, unknown } from '../facts.ts';

const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
const TIMEOUT_MS = 20_000;

/** The folders of the administrator's tools may be missing in PATH; messages are read in English. */
export const TOOL_ENVIRONMENT: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin`,
  LC_ALL: 'C',
};

/** The Debian and Ubuntu package of each tool. */
const PACKAGES: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  ss: 'iproute2',
  nft: 'nftables',
  ethtool: 'ethtool',
};

/** Its standard output; not known when it is missing or fails. Never rejects. */
export function runTool(tool: string, args: readonly string[]): Promise<Known<string>> {
  const options = { env: TOOL_ENVIRONMENT, maxBuffer: OUTPUT_BYTES_MAX, timeout: TIMEOUT_MS };
  return new Promise((resolve) => {
    execFile(tool, args, options, (error, stdout, stderr) => {
      if (error === null) return resolve(known(stdout));
      if (error.code === 'ENOENT') {
        return resolve(unknown(`\`${tool}\` is not installed; apt-get install ${PACKAGES[tool] ?? tool}`));
      }
      const said = stderr.trim().split('\n')[0] || error.message.split('\n')[0];
      resolve(unknown(`\`${[tool, ...args].join(' ')}\` failed: ${said}`));
    });
  });
}

/** The same for a tool that prints JSON. */
export async function runJsonTool<T>(tool: string, args: readonly string[]): Promise<Known<T>> {
  const printed = await runTool(tool, args);
  if (!printed.known) return printed;
  try {
    return known((printed.value.trim() === '' ? [] : JSON.parse(printed.value)) as T);
  } catch {
    return unknown(`\`${[tool, ...args].join(' ')}\` printed no JSON; a newer version of it does`);
  }
}
