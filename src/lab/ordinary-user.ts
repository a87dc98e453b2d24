/**
 * A lab without root: the same program once more inside a user namespace, where an ordinary user may make network
 * namespaces. Needs a kernel that allows this to ordinary users.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { hasProgram, LabError, runCommand } from './host.ts';

/** Environment variable that says that this process is the inner one already. */
const INSIDE = 'UIPVS_LAB_INSIDE';

/** A user, network and mount namespace; the user is root in them. */
const UNSHARE = ['unshare', '-U', '-r', '-n', '-m'];
/** `ip netns` keeps its names in /run/netns. */
const OWN_RUN = 'mount -n -t tmpfs tmpfs /run && mkdir /run/netns && exec "$@"';
/** Runs the same arguments in the program that this file belongs to. */
const AGAIN = `const { runLab } = await import(process.argv[1]);
process.exitCode = await runLab(process.argv.slice(2), process);`;

export function isInsideUserNamespace(): boolean {
  return process.env[INSIDE] === '1';
}

/** Runs the lab in a user namespace with this process's own input and output. Resolves to its exit status. */
export async function runInUserNamespace(argv: readonly string[]): Promise<number> {
  const allowed =
    hasProgram('unshare') && (await runCommand([...UNSHARE, 'sh', '-c', OWN_RUN, 'sh', 'true'])).code === 0;
  if (!allowed) {
    throw new LabError(`the lab needs root here, since this system gives ordinary users no namespaces of their own; type:
  sudo ${process.execPath} ${process.argv[1]} ${process.argv.slice(2).join(' ')}`);
  }
  const program = fileURLToPath(new URL('./program.js', import.meta.url));
  const inner = [process.execPath, '--input-type=module', '-e', AGAIN, program, ...argv];
  const [command, ...words] = [...UNSHARE, 'sh', '-c', OWN_RUN, 'sh', ...inner];
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } });
    // The inner program takes the lab down; this one waits for it. Ctrl-C reaches both, other signals are handed on.
    const handOn = (signal: NodeJS.Signals) => child.kill(signal);
    const ignore = () => {};
    process.on('SIGINT', ignore);
    process.on('SIGTERM', handOn);
    process.on('SIGHUP', handOn);
    child.on('error', (error) => reject(new LabError(`unshare cannot be started: ${error.message}`)));
    child.on('close', (code) => {
      process.off('SIGINT', ignore).off('SIGTERM', handOn).off('SIGHUP', handOn);
      resolve(code ?? 128);
    });
  });
}
