/** Directors that run in this network namespace, by their pid files. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { parseArguments } from './arguments.ts';
import { PidFile } from './pid-file.ts';

/** `UIPVS_RUN_DIR` in the environment: where pid files are, instead of /var/run. */
export function runningDirectors(environment: NodeJS.ProcessEnv): { pid: number; configuration: string }[] {
  const directory = environment['UIPVS_RUN_DIR'] ?? '/var/run';
  const own = networkNamespaceOf('self');
  return namesIn(directory).flatMap((name) => {
    const state = new PidFile(directory, name).read();
    if (state.type !== 'running' || networkNamespaceOf(String(state.pid)) !== own) return [];
    return [{ pid: state.pid, configuration: configurationOf(state.pid) ?? name }];
  });
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).flatMap((file) => /^ldirectord\.(.+)\.pid$/.exec(file)?.[1] ?? []);
  } catch {
    return [];
  }
}

function networkNamespaceOf(pid: string): string | null {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return null;
  }
}

/** The words behind the program's name, whatever stands before it. */
function configurationOf(pid: number): string | null {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
    const program = words.findIndex((word) => word.includes('ldirectord'));
    const invocation = parseArguments(words.slice(program + 1));
    return typeof invocation === 'string' ? null : invocation.configuration;
  } catch {
    return null;
  }
}
