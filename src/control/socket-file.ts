/** The files a daemon leaves in the file system while it lives: its socket's place and its pid file. */
import { chmodSync, lstatSync, mkdirSync, rmSync, type Stats, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';
import { IpvsError } from '../model/errors.ts';

const DIRECTORY_MODE = 0o755;
const PROBE_TIMEOUT_MS = 1_000;

/**
 * Makes the socket's directory when it is missing, and clears the place of a socket whose daemon is dead.
 * Returns whether there was one. Throws EBUSY when somebody answers there, EEXIST when it is no socket,
 * EPERM or ENOENT when the directory cannot be made.
 */
export async function prepareSocketPlace(path: string): Promise<boolean> {
  makeDirectory(dirname(path));
  let there: Stats | undefined;
  try {
    there = lstatSync(path, { throwIfNoEntry: false });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new IpvsError('EPERM', `${path} cannot be looked at: ${code}`, { cause });
  }
  if (there === undefined) return false;
  if (!there.isSocket()) throw new IpvsError('EEXIST', `${path} exists and is no socket; it is left as it is`);
  const refusal = await probe(path);
  if (refusal === null) throw new IpvsError('EBUSY', `another program answers on ${path}`);
  if (refusal !== 'ECONNREFUSED') throw new IpvsError('EPERM', `${path} cannot be looked at: ${refusal}`);
  rmSync(path, { force: true });
  return true;
}

/** `/run/uipvs/4026531840.pid` beside `/run/uipvs/4026531840.sock`. */
export function pidFilePath(socketPath: string): string {
  return `${socketPath.replace(/\.sock$/, '')}.pid`;
}

/** Written anew, never through a link that somebody may have put there. */
export function writePidFile(path: string): void {
  rmSync(path, { force: true });
  writeFileSync(path, `${process.pid}\n`, { flag: 'wx', mode: 0o644 });
}

function makeDirectory(directory: string): void {
  if (lstatSync(directory, { throwIfNoEntry: false }) !== undefined) return;
  try {
    mkdirSync(directory);
    chmodSync(directory, DIRECTORY_MODE);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    const way = 'set UIPVS_SOCKET to a path in a directory of yours';
    throw new IpvsError(
      code === 'ENOENT' ? 'ENOENT' : 'EPERM',
      `the directory ${directory} of the API socket cannot be made (${code ?? message}); ${way}`,
      { cause },
    );
  }
}

/** `null`: somebody accepts; otherwise the errno name. */
function probe(path: string): Promise<string | null> {
  return new Promise((resolve) => {
    const client = createConnection(path);
    const finish = (result: string | null): void => {
      client.destroy();
      resolve(result);
    };
    client.setTimeout(PROBE_TIMEOUT_MS, () => finish('ETIMEDOUT'));
    client.once('connect', () => finish(null));
    client.once('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
  });
}
