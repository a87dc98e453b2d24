/**
 * One daemon for each network namespace. The lock is a Unix socket with an abstract name (unix(7)): such names
 * belong to the network namespace, taking one is atomic, and the kernel gives it back when the process dies,
 * however it dies. Whoever connects is told who holds it, even from a container that shares the namespace but
 * not the file system.
 */
import { createConnection, createServer, type Server } from 'node:net';
import { IpvsError } from '../model/errors.ts';

export const LOCK_NAME = 'uipvsd';

const ANSWER_BYTES_MAX = 4_096;
const ANSWER_TIMEOUT_MS = 1_000;
const ATTEMPTS = 3;

export interface LockHolder {
  /** As the holder itself sees it. */
  readonly pid: number;
  readonly socket: string;
}

export interface Lock {
  release(): Promise<void>;
}

/** Throws EBUSY, with the pid of the daemon that holds the lock. */
export async function takeLock(holder: LockHolder, name: string = LOCK_NAME): Promise<Lock> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const server = await bind(name, `${JSON.stringify(holder)}\n`);
    if (server !== null) {
      return { release: () => new Promise((resolve) => server.close(() => resolve())) };
    }
    const other = await askHolder(name);
    if (other === 'gone') continue; // It ended between our two calls.
    throw new IpvsError('EBUSY', describeHolder(other, name));
  }
  throw new IpvsError(
    'EBUSY',
    `the lock @${name} changes hands too quickly; another uipvsd starts and ends all the time`,
  );
}

function describeHolder(other: LockHolder | null, name: string): string {
  if (other === null) {
    return `another program holds the lock @${name} of this network namespace; \`ss -xlp src @${name}\` shows which`;
  }
  return `uipvsd with pid ${other.pid} serves this network namespace already (socket ${other.socket})`;
}

/** `null`: somebody has the name. */
function bind(name: string, answer: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((client) => {
      client.on('error', () => {});
      client.end(answer);
      client.resume();
    });
    server.maxConnections = 16;
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null);
      else reject(error);
    });
    server.listen(`\0${name}`, () => {
      server.unref();
      resolve(server);
    });
  });
}

/** Who holds the lock. `gone`: nobody; `null`: one that does not answer like a uipvsd. */
export function askHolder(name: string): Promise<LockHolder | null | 'gone'> {
  return new Promise((resolve) => {
    let text = '';
    const client = createConnection(`\0${name}`);
    const finish = (result: LockHolder | null | 'gone'): void => {
      client.destroy();
      resolve(result);
    };
    client.setTimeout(ANSWER_TIMEOUT_MS, () => finish(null));
    client.on('error', (error: NodeJS.ErrnoException) => finish(error.code === 'ECONNREFUSED' ? 'gone' : null));
    client.on('data', (data) => {
      text += data.toString('utf8');
      if (text.length > ANSWER_BYTES_MAX) finish(null);
    });
    client.on('end', () => finish(parseHolder(text)));
  });
}

function parseHolder(text: string): LockHolder | null {
  try {
    const { pid, socket } = JSON.parse(text) as Partial<LockHolder>;
    return Number.isInteger(pid) && typeof socket === 'string' ? { pid: pid as number, socket } : null;
  } catch {
    return null;
  }
}
