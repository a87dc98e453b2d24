/** The npm packages: are those installed the ones package-lock.json names, and if not, `npm ci`. */
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run, SetUpError, say } from './terminal.mjs';

/** Optional packages with compiled code, and the file that exists once they are built. */
const COMPILED = {
  cap: 'node_modules/cap/build/Release/cap.node',
  'raw-socket': 'node_modules/raw-socket/build/Release/raw.node',
};

/**
 * Compiled optional packages that are not there; without them the pcap back end cannot be used.
 * @param {string} root
 */
export function missingCompiledPackages(root) {
  return Object.entries(COMPILED)
    .filter(([, file]) => !existsSync(join(root, file)))
    .map(([name]) => name);
}

/**
 * Whether node_modules holds what package-lock.json names, by npm's own note of what it installed. An optional
 * package may be missing (another platform, no compiler), but not be of another version.
 * @param {string} root
 */
export function packagesAreCurrent(root) {
  const noteFile = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(noteFile)) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(noteFile, 'utf8')).packages;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    if (installed[path] === undefined) return entry.optional === true || entry.peer === true;
    return installed[path].version === entry.version;
  });
}

/**
 * `npm ci`, or `npm install` where that will not do. Packages that are optional and cannot be built are left out by
 * npm, which is no failure.
 * @param {string} root
 */
export async function installPackages(root) {
  if (lstatSync(join(root, 'node_modules'), { throwIfNoEntry: false })?.isSymbolicLink()) {
    throw new SetUpError(
      'node_modules is a link to packages that differ from package-lock.json; run npm ci where it leads.',
    );
  }
  say('installing npm packages (npm ci, about a minute) ...');
  const words = ['--include=dev', '--include=optional', '--ignore-scripts=false', '--no-audit', '--no-fund'];
  // node-gyp would fetch Node's headers from the network; a Node that brought its own can do without.
  const prefix = dirname(dirname(process.execPath));
  const env = existsSync(join(prefix, 'include/node/node_version.h')) ? { npm_config_nodedir: prefix } : {};
  let { code, output } = await run('npm', ['ci', ...words], { cwd: root, env });
  if (code !== 0 && output.includes('code EUSAGE')) {
    // Registries that mirror only some platforms lack optional packages of the others, and `ci` takes that for a
    // lock file out of date. `install` keeps to the versions of the lock file all the same.
    ({ code, output } = await run('npm', ['install', '--no-save', ...words], { cwd: root, env }));
  }
  if (code === 127) throw new SetUpError('npm was not found; it comes with Node (on Debian and Ubuntu: package npm).');
  if (code !== 0) {
    const offline = /ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ENETUNREACH/.test(output);
    const reason = offline
      ? 'the npm registry cannot be reached; try again with a network connection'
      : 'npm ci failed';
    throw new SetUpError(`${reason}.\n${firstErrors(output)}`);
  }
}

/**
 * The compiler's program is an optional package, one for each platform: whoever left optional packages out has a
 * compiler without it.
 * @param {string} root
 */
export async function installCompiler(root) {
  const description = join(root, 'node_modules/typescript/package.json');
  if (!existsSync(description)) return;
  const { version } = JSON.parse(readFileSync(description, 'utf8'));
  const name = `@typescript/typescript-${process.platform}-${process.arch}`;
  if (existsSync(join(root, 'node_modules', name))) return;
  say(`installing the compiler for this platform, ${name} (npm) ...`);
  const words = ['install', '--no-save', '--omit=optional', '--no-audit', '--no-fund', `${name}@${version}`];
  const { code, output } = await run('npm', words, { cwd: root });
  if (code !== 0) throw new SetUpError(`the compiler could not be installed.\n${firstErrors(output)}`);
}

/** What npm says first; after that come the words of its help. */
function firstErrors(output) {
  const errors = output.split('\n').filter((line) => line.startsWith('npm error'));
  return (errors.length > 0 ? errors : output.trimEnd().split('\n')).slice(0, 15).join('\n');
}
