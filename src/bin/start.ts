/**
 * How every program of this package begins. This file and the programs that import it are read by whatever Node
 * is there, so they use no syntax that an old one cannot read, and import nothing; the rest comes by `import()`.
 */

/** `main` gets the words after the program's name and resolves to the exit code. */
export interface Program {
  main(words: readonly string[]): Promise<number>;
}

export interface StartOptions {
  /** What happens when the reader of standard output goes away (`| head`). `ignore` is for daemons. */
  readonly closedOutput: 'end' | 'ignore';
}

const NODE_MAJOR_MIN = 20;
const NODE_MINOR_MIN = 19;
/** As if SIGPIPE had ended the process, which is what the shell shows for other programs. */
const CLOSED_OUTPUT_EXIT_CODE = 141;

/** `usualName` is what the program is called when it is not started by a link with another name. */
export function start(usualName: string, load: () => Promise<Program>, options: StartOptions): void {
  const name = typedName(process.argv[1]) || usualName;
  const complaint = nodeComplaint(process.versions.node);
  if (complaint !== null) {
    process.stderr.write(`${name}: ${complaint}\n`);
    process.exitCode = 1;
    return;
  }
  cacheCompiledCode();
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (options.closedOutput === 'ignore') return;
    if (error.code === 'EPIPE') process.exit(CLOSED_OUTPUT_EXIT_CODE);
    process.stderr.write(`${name}: the output cannot be written: ${error.message}\n`);
    process.exit(1);
  });
  process.stderr.on('error', () => {}); // There is nobody left to tell.
  load()
    .then((program) => program.main(process.argv.slice(2)))
    .then(
      (exitCode) => {
        process.exitCode = exitCode;
      },
      (error: unknown) => {
        const text = error instanceof Error && error.stack ? error.stack : String(error);
        process.stderr.write(`${name}: this is a mistake in ${name} itself: ${text}\n`);
        process.exitCode = 1;
      },
    );
}

/** The last part of the path, which is that of the link when there is one, without the ending of the built file. */
function typedName(path: string | undefined): string {
  return path === undefined ? '' : path.slice(path.lastIndexOf('/') + 1).replace(/\.[jt]s$/, '');
}

/** `null`, or why this version of Node will not do. */
export function nodeComplaint(version: string): string | null {
  const parts = version.split('.').map(Number);
  if (parts[0] > NODE_MAJOR_MIN || (parts[0] === NODE_MAJOR_MIN && parts[1] >= NODE_MINOR_MIN)) return null;
  return `needs Node ${NODE_MAJOR_MIN}.${NODE_MINOR_MIN} or newer, and this is Node ${version}`;
}

/**
 * From Node 22.1 on compiled code is kept on disk, which makes the next start quicker. Code from that directory is
 * run, so it must be one that only this user can write: never the shared default below /tmp.
 */
function cacheCompiledCode(): void {
  const getBuiltin = (process as { getBuiltinModule?: (id: string) => unknown }).getBuiltinModule;
  if (getBuiltin === undefined || process.env['NODE_COMPILE_CACHE']) return;
  const enable = (getBuiltin('node:module') as { enableCompileCache?: (directory: string) => unknown })
    .enableCompileCache;
  const home = process.env['HOME'];
  const root = process.getuid !== undefined && process.getuid() === 0;
  // Root under sudo may have the home of somebody else.
  const directory = root ? '/var/cache/uipvs/compiled' : home ? `${home}/.cache/uipvs/compiled` : null;
  if (enable !== undefined && directory !== null) enable(directory);
}
